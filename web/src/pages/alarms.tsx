// Every alarm and what it says.
import { useEffect, useMemo } from "preact/hooks";
import { follow } from "../api";
import type { Alarm } from "../api.gen";
import { Ago, Empty, Glyph, Loading, RunbookButton, STATE_WORDS, Search, SeverityTag, Trouble, markOfAlarm, matches } from "../parts";
import { route, setQuery } from "../route";

const KINDS: Record<Alarm["kind"], string> = {
  monitor: "Monitors",
  certificate: "Certificates",
  heartbeat: "Heartbeats",
  rule: "Rules",
  composite: "Composites",
  self: "watchbell itself",
};

export function AlarmsPage() {
  const alarms = useMemo(() => follow<Alarm[]>("alarms", ["alarms"]), []);
  useEffect(() => alarms.close, [alarms]);
  const text = route.value.query.get("q") ?? "";
  const state = route.value.query.get("state") ?? "";
  const all = alarms.data.value;
  if (!all) return alarms.error.value ? <Trouble what="alarms" error={alarms.error.value} /> : <Loading />;
  const count = (wanted: string) => all.filter((alarm) => alarm.state === wanted).length;
  const shown = all.filter((alarm) => (!state || alarm.state === state) && matches(text, alarm.name, alarm.id, alarm.reason, alarm.severity));
  return (
    <>
      <div class="page-head">
        <h1>Alarms</h1>
        <p>Everything that is judged: monitors, certificates, heartbeats, rules, composites of them and watchbell itself.</p>
        <Search value={text} onInput={(value) => setQuery({ q: value })} label="Search alarms" />
        <div class="tabs" role="group" aria-label="State">
          {[
            ["", `All ${all.length}`],
            ["ALARM", `In alarm ${count("ALARM")}`],
            ["INSUFFICIENT_DATA", `Not enough data ${count("INSUFFICIENT_DATA")}`],
            ["OK", `OK ${count("OK")}`],
          ].map(([value, name]) => (
            <button key={value} type="button" aria-pressed={state === value} onClick={() => setQuery({ state: value || null })}>
              {name}
            </button>
          ))}
        </div>
      </div>
      <Trouble what="alarms" error={alarms.error.value} />
      {all.length === 0 && <Empty>There are no alarms yet.</Empty>}
      {(Object.keys(KINDS) as Alarm["kind"][]).map((kind) => {
        const rows = shown.filter((alarm) => alarm.kind === kind);
        if (rows.length === 0) return null;
        return (
          <section class="section" key={kind} aria-label={KINDS[kind]}>
            <header>
              <h2>{KINDS[kind]}</h2>
              <span class="aside">{rows.length}</span>
            </header>
            <ul class="rows alarms">
              {rows.map((alarm) => (
                <Row key={alarm.id} alarm={alarm} />
              ))}
            </ul>
          </section>
        );
      })}
    </>
  );
}

function Row({ alarm }: { alarm: Alarm }) {
  return (
    <li class={alarm.state === "ALARM" ? "row bad" : "row"}>
      <Glyph mark={markOfAlarm(alarm.state, alarm.severity)} label={STATE_WORDS[alarm.state]} />
      <a class="name" href={alarm.href}>
        <b>{alarm.name}</b>
        <span>{alarm.error ?? alarm.reason}</span>
      </a>
      <SeverityTag severity={alarm.severity} />
      <span class="num">
        <Ago at={alarm.since} bare />
      </span>
      <RunbookButton link={alarm.runbook} quiet />
    </li>
  );
}
