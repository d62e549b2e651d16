// How each channel of a receiver would tell a page: a test page, or that of an alert that fires.
import { useEffect, useMemo, useState } from "preact/hooks";
import { follow } from "../api";
import type { Alert, AlertGroup, Outbox, Preview } from "../api.gen";
import { Empty, Loading, Trouble } from "../parts";
import { route, setQuery } from "../route";

/** `oncall` of `oncall/ntfy`. */
function receiverOf(channel: string): string {
  return channel.slice(0, channel.lastIndexOf("/"));
}

export function PreviewsPage() {
  const outbox = useMemo(() => follow<Outbox>("outbox", ["config"]), []);
  const groups = useMemo(() => follow<AlertGroup[]>("alerts", ["alerts"]), []);
  useEffect(
    () => () => {
      outbox.close();
      groups.close();
    },
    [outbox, groups],
  );
  const known = outbox.data.value;
  if (!known) return outbox.error.value ? <Trouble what="channels" error={outbox.error.value} /> : <Loading />;
  const receivers = [...new Set(known.channels.map((channel) => receiverOf(channel.name)))].sort();
  const asked = route.value.query.get("receiver") ?? "";
  const receiver = receivers.includes(asked) ? asked : (receivers[0] ?? "");
  const alerts = [...new Map((groups.data.value ?? []).flatMap((group) => group.alerts).map((alert) => [alert.fingerprint, alert])).values()];
  const chosen = alerts.find((alert) => alert.fingerprint === route.value.query.get("alert"));
  return (
    <>
      <div class="page-head">
        <h1>Previews</h1>
        <p>What each channel would send, without credentials. Nothing is sent.</p>
        <label class="choice">
          To
          <select value={receiver} onChange={(event) => setQuery({ receiver: event.currentTarget.value })}>
            {receivers.map((name) => (
              <option key={name}>{name}</option>
            ))}
          </select>
        </label>
        <label class="choice">
          About
          <select value={chosen?.fingerprint ?? ""} onChange={(event) => setQuery({ alert: event.currentTarget.value })}>
            <option value="">a test page</option>
            {alerts.map((alert) => (
              <option key={alert.fingerprint} value={alert.fingerprint}>
                {alert.summary || alert.name}
              </option>
            ))}
          </select>
        </label>
      </div>
      {receiver ? <Shown key={`${receiver} ${chosen?.fingerprint}`} receiver={receiver} alert={chosen} /> : <Empty>No receiver has a channel.</Empty>}
    </>
  );
}

function Shown({ receiver, alert }: { receiver: string; alert: Alert | undefined }) {
  const query = new URLSearchParams({ receiver, alert: alert?.fingerprint ?? "" });
  const previews = useMemo(() => follow<Preview[]>(`previews?${query}`, ["alerts", "config"]), [query.toString()]);
  useEffect(() => previews.close, [previews]);
  const all = previews.data.value;
  if (!all) return previews.error.value ? <Trouble what="the preview" error={previews.error.value} /> : <Loading />;
  return (
    <>
      <Trouble what="the preview" error={previews.error.value} />
      {all.map((preview) => (
        <Card key={preview.channel} preview={preview} alert={alert} />
      ))}
    </>
  );
}

/** The words of a body, the shortest first, which is the title; a body that is no JSON shows them by itself. */
function wordsOf(text: string): string[] {
  const found = new Set<string>();
  const walk = (value: unknown) => {
    if (typeof value === "string" && /\S\s+\S/.test(value) && !value.startsWith("{")) found.add(value.trim());
    else if (value && typeof value === "object") Object.values(value).forEach(walk);
  };
  try {
    walk(JSON.parse(text.slice(text.indexOf("\n\n"))));
  } catch {
    return [];
  }
  // A caption of a button is a word of the page, but not what it says.
  const captions = ["Run book", "Mark false"];
  const words = [...found].filter((text) => !captions.includes(text)).sort((a, b) => a.length - b.length);
  // What is said twice, in a fallback or a summary, is shown once.
  return words.filter((text, at) => !words.slice(at + 1).some((longer) => longer.includes(text)) || at === 0).slice(0, 3);
}

function Card({ preview, alert }: { preview: Preview; alert: Alert | undefined }) {
  const [over, setOver] = useState(false);
  const alarm = alert?.labels.source;
  const text = (over ? preview.end : null) ?? preview.text;
  const words = wordsOf(text);
  return (
    <section class="card preview" aria-label={preview.channel}>
      <header>
        <h2>{preview.channel}</h2>
        <span class="aside">{preview.kind}</span>
        <div class="tabs" role="group" aria-label="When">
          <button type="button" aria-pressed={!over} onClick={() => setOver(false)}>
            Fires
          </button>
          <button type="button" aria-pressed={over} disabled={preview.end === null} onClick={() => setOver(true)}>
            Is over
          </button>
        </div>
      </header>
      {words.length > 0 && (
        <blockquote>
          {words.map((text, at) => (
            <p key={text}>{at === 0 ? <b>{text}</b> : text}</p>
          ))}
        </blockquote>
      )}
      <p class="chips">
        {preview.buttons.map((button) => (
          <span class="chip" key={button}>
            {button}
          </span>
        ))}
        {preview.buttons.length === 0 && <span class="dim">nothing to open or press</span>}
      </p>
      {preview.template_errors.map((error) => (
        <p class="warn-text" key={error}>
          A template fails, and the built-in words stand in its place: {error}
        </p>
      ))}
      <details open={words.length === 0}>
        <summary>What is sent</summary>
        <pre>{text}</pre>
      </details>
      {preview.picture && <p class="dim">{preview.picture[0]!.toUpperCase() + preview.picture.slice(1)}.</p>}
      {preview.picture && alarm && !over && <AlarmPicture id={alarm} />}
    </section>
  );
}

/** The picture that goes with pages about an alarm; nothing where it has none. */
export function AlarmPicture({ id }: { id: string }) {
  const [none, setNone] = useState(false);
  if (none) return null;
  return <img class="picture" src={`/api/watchbell/v1/alarms/${encodeURIComponent(id)}/picture.png`} width={800} height={400} alt="How it stood over time" onError={() => setNone(true)} />;
}
