// One alarm: its state, why, its graph, its past, its run book.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { follow, words } from "../api";
import type { AlarmPage as Page, Graph, Transition } from "../api.gen";
import type { Drawing } from "../chart";
import { Ago, Copy, Empty, Glyph, LabelChips, Loading, RunbookButton, STATE_WORDS, Section, SeverityTag, Since, Trouble, markOfAlarm } from "../parts";
import { route, setQuery } from "../route";
import { clock, full, now, span, value } from "../time";
import { AlarmPicture } from "./previews";
import { Told } from "./verdicts";

const RANGES: [string, number][] = [
  ["1h", 3600],
  ["6h", 21600],
  ["24h", 86400],
  ["7d", 604800],
];

const VOTE_MARKS = { up: "ok", down: "alarm", open: "none", silent: "warn" } as const;
const VOTE_WORDS = { up: "up", down: "down", open: "not known yet", silent: "silent, no vote" };

export function AlarmPage({ id }: { id: string }) {
  const page = useMemo(() => follow<Page>(`alarms/${encodeURIComponent(id)}`, ["alarms"]), [id]);
  useEffect(() => page.close, [page]);
  const data = page.data.value;
  if (!data) return page.error.value ? <Trouble what={`the alarm ${id}`} error={page.error.value} /> : <Loading />;
  const { alarm } = data;
  const mark = markOfAlarm(alarm.state, alarm.severity);
  const pending = data.contributors.filter((contributor) => contributor.pending);
  return (
    <div class="alarm-page">
      <header class={`alarm-head ${mark}`}>
        <Glyph mark={mark} size={40} label={STATE_WORDS[alarm.state]} />
        <div>
          <p class="crumb">
            <a href="/alarms">Alarms</a> / {alarm.kind}
          </p>
          <h1>{alarm.name}</h1>
          <p class="state">
            <b>{STATE_WORDS[alarm.state]}</b> <Since at={alarm.since} />
          </p>
          <p class="reason">{alarm.reason}</p>
          {alarm.error && <p class="warn-text">The last judgement failed: {alarm.error}</p>}
        </div>
        <div class="do">
          <RunbookButton link={alarm.runbook} />
          <SeverityTag severity={alarm.severity} />
        </div>
      </header>
      {data.graphs.length === 0 && alarm.kind === "heartbeat" && <AlarmPicture id={alarm.id} />}
      {data.graphs.length > 0 && <Graphs graphs={data.graphs} history={data.history} page={data} />}
      {data.contributors.length > 0 && (
        <Section title={pending.length === data.contributors.length ? "Pending" : "Firing"} aside={`${data.contributors.length} series`}>
          <ul class="rows contributors">
            {data.contributors.map((contributor) => (
              <li class="row" key={JSON.stringify(contributor.labels)}>
                <Glyph mark={contributor.pending ? "warn" : mark} label={contributor.pending ? "Pending" : "Firing"} />
                <span class="name">
                  <LabelChips labels={contributor.labels} without={["severity", "source"]} />
                  <span>
                    {contributor.pending ? "pending " : "firing "}
                    <Since at={contributor.since} />
                  </span>
                </span>
                <span class="num strong">{value(contributor.value)}</span>
              </li>
            ))}
          </ul>
        </Section>
      )}
      {data.places.length > 0 && (
        <Section title="Places" aside={`${data.places.length} places`}>
          <ul class="rows contributors">
            {data.places.map((place) => (
              <li class="row" key={place.place}>
                <Glyph mark={VOTE_MARKS[place.vote]} label={VOTE_WORDS[place.vote]} />
                <span class="name">
                  <b>{place.place}</b>
                  <span>
                    {VOTE_WORDS[place.vote]}
                    {place.message && `: ${place.message}`}
                  </span>
                </span>
                <span class="num">{place.at && <Ago at={place.at} />}</span>
              </li>
            ))}
          </ul>
        </Section>
      )}
      <Told alarm={alarm.id} />
      <div class="columns even">
        <Section title="History" aside={data.history.length > 0 && `${data.history.length} changes`}>
          {data.history.length === 0 ? (
            <Empty>Its state has never changed.</Empty>
          ) : (
            <ol class="history">
              {data.history.map((change, at) => (
                <li key={`${change.at}${at}`}>
                  <Glyph mark={markOfAlarm(change.to, alarm.severity)} label={STATE_WORDS[change.to]} />
                  <div>
                    <p>
                      <b>{STATE_WORDS[change.to]}</b>{" "}
                      <time dateTime={change.at} title={full(change.at)}>
                        {clock(change.at, now.value)}, <Ago at={change.at} />
                      </time>
                    </p>
                    <p class="dim">{change.reason}</p>
                    {change.labels && <LabelChips labels={change.labels} without={["severity", "source"]} />}
                  </div>
                </li>
              ))}
            </ol>
          )}
        </Section>
        <Section title="What is judged">
          <dl class="facts wide">
            <div>
              <dt>Condition</dt>
              <dd>
                <Copy text={data.condition} label="the condition" />
              </dd>
            </div>
            <div>
              <dt>Judged last</dt>
              <dd>{data.judged_at ? <Ago at={data.judged_at} /> : "never"}</dd>
            </div>
            <div>
              <dt>Labels</dt>
              <dd>
                <LabelChips labels={data.labels} />
              </dd>
            </div>
            <div>
              <dt>Run book</dt>
              <dd>{alarm.runbook ? <a href={alarm.runbook.href}>{alarm.runbook.name}</a> : "generated"}</dd>
            </div>
            <div>
              <dt>Identity</dt>
              <dd class="mono">{alarm.id}</dd>
            </div>
          </dl>
        </Section>
      </div>
    </div>
  );
}

function Graphs({ graphs, history, page }: { graphs: Graph[]; history: Transition[]; page: Page }) {
  // Somebody who has just started watchbell would see an almost empty graph of six hours.
  const known = Date.parse(history.at(-1)?.at ?? page.alarm.since);
  const usual = now.peek() - known < 3_600_000 ? RANGES[0]! : RANGES[1]!;
  const range = RANGES.find(([name]) => name === route.value.query.get("range")) ?? usual;
  return (
    <section class="section" aria-label="Graphs">
      <header>
        <h2>{graphs[0]!.title}</h2>
        <div class="tabs" role="group" aria-label="Range">
          {RANGES.map(([name]) => (
            <button key={name} type="button" aria-pressed={name === range[0]} onClick={() => setQuery({ range: name })}>
              {name}
            </button>
          ))}
        </div>
      </header>
      {graphs.map((graph, at) => (
        <figure key={graph.query} class="graph">
          {at > 0 && <figcaption>{graph.title}</figcaption>}
          <Canvas graph={graph} seconds={range[1]} history={history} page={page} tall={at === 0} />
        </figure>
      ))}
    </section>
  );
}

function Canvas({ graph, seconds, history, page, tall }: { graph: Graph; seconds: number; history: Transition[]; page: Page; tall: boolean }) {
  const box = useRef<HTMLDivElement>(null);
  const drawing = useRef<Drawing | undefined>(undefined);
  const [error, setError] = useState("");
  // Drawn anew at most every ten seconds; a change of state comes at once.
  const tick = Math.floor(now.value / 10_000);
  useEffect(() => {
    let gone = false;
    void (async () => {
      try {
        const chart = await import("../chart");
        const data = await chart.read(graph, seconds, now.value);
        if (gone || !box.current) return;
        const ribbon = chart.ribbon(history, page.alarm.state, page.alarm.since);
        drawing.current ??= chart.open(box.current, tall ? 260 : 160);
        drawing.current.draw(graph, data, ribbon);
        setError("");
      } catch (problem) {
        if (!gone) setError(words(problem));
      }
    })();
    return () => {
      gone = true;
    };
  }, [graph.query, seconds, tick, page.alarm.state, page.alarm.since]);
  useEffect(() => () => drawing.current?.close(), []);
  return (
    <>
      <div ref={box} class={tall ? "canvas tall" : "canvas"} role="img" aria-label={`${graph.title} over ${span(seconds)}${graph.threshold === null ? "" : `, threshold ${graph.threshold}`}`} />
      {error && (
        <p class="warn-text" role="alert">
          No graph: {error}
        </p>
      )}
    </>
  );
}
