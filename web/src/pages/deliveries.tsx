// Each try to hand a page to a channel: the whole log, searched by the server.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { follow } from "../api";
import type { Delivery } from "../api.gen";
import { Ago, Empty, Glyph, Loading, Search, Trouble } from "../parts";
import { route, setQuery } from "../route";
import { clock, full, now, span } from "../time";

const WORDS: Record<Delivery["outcome"], string> = { accepted: "Accepted", retry: "Failed, is tried again", gaveup: "Given up", merged: "Told of in another page" };
const MARKS = { accepted: "ok", retry: "warn", gaveup: "alarm", merged: "none" } as const;
/** So many are read at first, and so many more each time. */
const STEP = 100;
const MOST = 1000;

/** `after 3 s`: how long after the page was written. */
function waited(delivery: Delivery): string {
  const seconds = delivery.waited_ms / 1000;
  return seconds < 1 ? `after ${delivery.waited_ms} ms` : `after ${span(seconds)}`;
}

export function DeliveriesPage() {
  const text = route.value.query.get("q") ?? "";
  const outcome = route.value.query.get("outcome") ?? "";
  const [count, setCount] = useState(STEP);
  const query = new URLSearchParams({ q: text, outcome, limit: String(count) }).toString();
  const deliveries = useMemo(() => follow<Delivery[]>(`deliveries?${query}`, ["outbox"]), [query]);
  useEffect(() => deliveries.close, [deliveries]);
  // What was found stays until the next answer is there.
  const last = useRef<Delivery[] | undefined>(undefined);
  last.current = deliveries.data.value ?? last.current;
  const all = last.current;
  if (!all) return deliveries.error.value ? <Trouble what="deliveries" error={deliveries.error.value} /> : <Loading />;
  return (
    <>
      <div class="page-head">
        <h1>Deliveries</h1>
        <p>Every try to hand a page to a channel, newest first, and what the channel answered.</p>
        <Search value={text} onInput={(value) => setQuery({ q: value })} label="Search deliveries" />
        <select aria-label="How they ended" value={outcome} onChange={(event) => setQuery({ outcome: event.currentTarget.value })}>
          <option value="">all tries</option>
          {Object.entries(WORDS).map(([name, words]) => (
            <option key={name} value={name}>
              {words}
            </option>
          ))}
        </select>
        <a class="button" href="/previews">
          Preview pages
        </a>
      </div>
      <Trouble what="deliveries" error={deliveries.error.value} />
      {all.length === 0 ? (
        <Empty>{text || outcome ? "No try is like that." : "No page was sent yet."}</Empty>
      ) : (
        <ul class="rows deliveries panel">
          {all.map((delivery) => (
            <li class={delivery.outcome === "gaveup" ? "row bad" : "row"} key={delivery.id}>
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
              <button type="button" class="ghost channel" title="All tries of this channel" onClick={() => setQuery({ q: delivery.channel })}>
                {delivery.channel}
              </button>
              <span class="num">
                {delivery.attempt > 1 && `try ${delivery.attempt} · `}
                {waited(delivery)} ·{" "}
                <time dateTime={delivery.at} title={full(delivery.at)}>
                  {clock(delivery.at, now.value)}
                </time>
              </span>
            </li>
          ))}
        </ul>
      )}
      {all.length >= count && count < MOST && (
        <button type="button" class="button" onClick={() => setCount(Math.min(MOST, count + STEP))}>
          Show more
        </button>
      )}
    </>
  );
}
