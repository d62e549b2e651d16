// Each try to hand a page to a channel.
import { useEffect, useMemo, useState } from "preact/hooks";
import { follow } from "../api";
import type { Delivery } from "../api.gen";
import { Ago, Empty, Glyph, Loading, Search, Trouble, matches } from "../parts";
import { clock, now } from "../time";

const WORDS: Record<Delivery["outcome"], string> = { accepted: "Accepted", retry: "Failed, is tried again", gaveup: "Given up", merged: "Told of in another page" };
const MARKS = { accepted: "ok", retry: "warn", gaveup: "alarm", merged: "none" } as const;

export function DeliveriesPage() {
  const deliveries = useMemo(() => follow<Delivery[]>("deliveries", ["outbox"]), []);
  useEffect(() => deliveries.close, [deliveries]);
  const [text, setText] = useState("");
  const all = deliveries.data.value;
  if (!all) return deliveries.error.value ? <Trouble what="deliveries" error={deliveries.error.value} /> : <Loading />;
  const shown = all.filter((delivery) => matches(text, delivery.title, delivery.channel, delivery.detail, delivery.outcome));
  return (
    <>
      <div class="page-head">
        <h1>Deliveries</h1>
        <p>Every try to hand a page to a channel, newest first, and what the channel answered.</p>
        <Search value={text} onInput={setText} label="Search deliveries" />
      </div>
      <Trouble what="deliveries" error={deliveries.error.value} />
      {all.length === 0 ? (
        <Empty>No page was sent yet.</Empty>
      ) : (
        <ul class="rows deliveries panel">
          {shown.map((delivery, at) => (
            <li class={delivery.outcome === "gaveup" ? "row bad" : "row"} key={`${delivery.at}${at}`}>
              <Glyph mark={MARKS[delivery.outcome]} label={WORDS[delivery.outcome]} />
              <span class="name">
                <b>{delivery.title}</b>
                <span>
                  {delivery.detail}
                  {delivery.retry_at && Date.parse(delivery.retry_at) > now.value && (
                    <>
                      {" "}
                      · tried again <Ago at={delivery.retry_at} />
                    </>
                  )}
                </span>
              </span>
              <span class="channel">{delivery.channel}</span>
              <span class="num">
                {delivery.attempt > 1 && `try ${delivery.attempt} · `}
                <time dateTime={delivery.at}>{clock(delivery.at, now.value)}</time>
              </span>
            </li>
          ))}
        </ul>
      )}
    </>
  );
}
