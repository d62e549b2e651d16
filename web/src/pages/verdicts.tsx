// What people were told of, over or not, and whether it was worth it.
import { useEffect, useMemo, useState } from "preact/hooks";
import { call, follow, words } from "../api";
import type { Episode, Judgement, NewVerdict } from "../api.gen";
import { Ago, Empty, Glyph, Section, SeverityTag, Trouble } from "../parts";
import { clock, full, now, span } from "../time";

const VERDICTS: [Judgement, string, string][] = [
  ["true", "True", "Something was wrong, and the page came in time"],
  ["false", "False", "Nothing was wrong"],
  ["early", "Early", "It would have mended by itself, or could not be seen to yet"],
  ["late", "Late", "Something was wrong, and the page came too late"],
  ["unactionable", "Unactionable", "Something was wrong, but there was nothing to do about it"],
];
/** How many are shown before somebody asks for more. */
const FEW = 8;

/** Alerts that people were told of: all, or those of one alarm. */
export function Told({ alarm }: { alarm?: string }) {
  const path = alarm ? `episodes?alarm=${encodeURIComponent(alarm)}` : "episodes";
  const episodes = useMemo(() => follow<Episode[]>(path, ["alerts"]), [path]);
  useEffect(() => episodes.close, [episodes]);
  const [all, setAll] = useState(false);
  const found = episodes.data.value ?? [];
  const open = found.filter((episode) => !episode.verdict).length;
  return (
    <Section title="Told of lately" aside={found.length > 0 && (open ? `${open} without a verdict` : "all with a verdict")}>
      <Trouble what="what people were told of" error={episodes.error.value} />
      {found.length === 0 ? (
        <Empty>{alarm ? "Nobody was ever told of it." : "Nobody was told of anything yet."}</Empty>
      ) : (
        <ul class="rows told">
          {(all ? found : found.slice(0, FEW)).map((episode) => (
            <Row key={`${episode.fingerprint}${episode.starts_at}`} episode={episode} named={!alarm} onDone={() => void episodes.refresh()} />
          ))}
        </ul>
      )}
      {!all && found.length > FEW && (
        <button type="button" class="ghost more" onClick={() => setAll(true)}>
          {found.length - FEW} more
        </button>
      )}
    </Section>
  );
}

function Row({ episode, named, onDone }: { episode: Episode; named: boolean; onDone: () => void }) {
  const [error, setError] = useState("");
  const said = episode.verdict;
  const end = episode.ends_at ? Date.parse(episode.ends_at) : now.value;
  const about = `alerts/${episode.fingerprint}/verdict`;
  const ask = async (path: string, init: RequestInit) => {
    try {
      await call(path, init);
      setError("");
      onDone();
    } catch (problem) {
      setError(words(problem));
    }
  };
  const give = (verdict: Judgement, note: string) => {
    const body: NewVerdict = { verdict, note, starts_at: episode.starts_at };
    return ask(about, { method: "POST", body: JSON.stringify(body) });
  };
  const withdraw = () => ask(`${about}?starts_at=${encodeURIComponent(episode.starts_at)}`, { method: "DELETE" });
  return (
    <li class="row">
      <Glyph mark={episode.ends_at ? "ok" : "alarm"} label={episode.ends_at ? "Over" : "Firing"} />
      <span class="name">
        <b>{episode.alarm && named ? <a href={`/alarms/${episode.alarm}`}>{episode.summary}</a> : episode.summary}</b>
        <span>
          <SeverityTag severity={episode.severity} />{" "}
          <time dateTime={episode.starts_at} title={full(episode.starts_at)}>
            {clock(episode.starts_at, now.value)}
          </time>
          , {episode.ends_at ? "for" : "goes on for"} {span((end - Date.parse(episode.starts_at)) / 1000)}
          {episode.acknowledged && ` · ${episode.acknowledged.by} saw to it`}
        </span>
        {said && (
          <span>
            <b>{said.by}</b> says {said.verdict}, <Ago at={said.at} />
          </span>
        )}
        {error && <span class="bad-text">{error}</span>}
      </span>
      <span class="judge">
        <span class="tabs" role="group" aria-label="Was its page worth it?">
          {VERDICTS.map(([verdict, word, words]) => (
            <button
              key={verdict}
              type="button"
              title={words}
              aria-pressed={said?.verdict === verdict}
              onClick={() => (said?.verdict === verdict ? withdraw() : give(verdict, said?.note ?? ""))}
            >
              {word}
            </button>
          ))}
        </span>
        {said && (
          <input
            aria-label="Note"
            placeholder="A few words"
            defaultValue={said.note ?? ""}
            onChange={(event) => void give(said.verdict, event.currentTarget.value)}
          />
        )}
      </span>
    </li>
  );
}
