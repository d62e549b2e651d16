// Scheduled jobs and their signs of life.
import { useState } from "preact/hooks";
import type { Heartbeat, Overview } from "../api.gen";
import { Ago, Copy, Empty, Glyph, RunbookButton, Search, markOfHeartbeat, matches } from "../parts";
import SNIPPETS from "../snippets.json";
import { clock, now, relative, span } from "../time";

const WORDS: Record<Heartbeat["state"], string> = {
  new: "Waiting for its first ping",
  up: "In time",
  late: "Late",
  down: "Missed",
  paused: "Paused",
};

/** What is to be known of it now, in a few words. */
function standing(heartbeat: Heartbeat): string {
  const from = now.value;
  switch (heartbeat.state) {
    case "up":
      return heartbeat.next_ping ? `due ${relative(heartbeat.next_ping, from)}` : "in time";
    case "late":
      return heartbeat.deadline ? `late, alarms ${relative(heartbeat.deadline, from)}` : "late";
    case "down":
      return heartbeat.last_ping ? `last ping ${relative(heartbeat.last_ping, from)}` : "never pinged";
    case "new":
      return "never pinged";
    case "paused":
      return "paused";
  }
}

/** The way from the last ping to the moment it alarms: the period, then the grace. */
export function Timeline({ heartbeat }: { heartbeat: Heartbeat }) {
  const whole = heartbeat.period + heartbeat.grace;
  const due = (heartbeat.period / whole) * 100;
  const passed = heartbeat.last_ping ? Math.min(100, ((now.value - Date.parse(heartbeat.last_ping)) / 1000 / whole) * 100) : 0;
  const label = `${heartbeat.name}: ${standing(heartbeat)}; ${heartbeat.schedule}, grace ${span(heartbeat.grace)}`;
  return (
    <svg class={`timeline ${heartbeat.state}`} viewBox="0 0 100 12" preserveAspectRatio="none" role="img" aria-label={label}>
      <rect class="track" x="0" y="4" width={due} height="4" rx="1" />
      <rect class="grace" x={due} y="4" width={100 - due} height="4" rx="1" />
      {heartbeat.state !== "new" && heartbeat.state !== "paused" && <rect class="passed" x="0" y="4" width={Math.max(0.8, passed)} height="4" rx="1" />}
      <rect class="due" x={due - 0.4} y="1" width="0.8" height="10" />
      <title>{label}</title>
    </svg>
  );
}

export function HeartbeatRow({ heartbeat }: { heartbeat: Heartbeat }) {
  const mark = heartbeat.started && heartbeat.state === "up" ? "run" : markOfHeartbeat(heartbeat.state);
  return (
    <li class={heartbeat.state === "down" ? "row bad" : "row"}>
      <Glyph mark={mark} label={heartbeat.started ? "Running" : WORDS[heartbeat.state]} />
      <a class="name" href={heartbeat.href}>
        <b>{heartbeat.name}</b>
        <span>
          {heartbeat.schedule}
          {heartbeat.started ? ", running" : heartbeat.last_duration !== null ? `, took ${span(heartbeat.last_duration)}` : ""}
        </span>
      </a>
      <Timeline heartbeat={heartbeat} />
      <span class={heartbeat.state === "down" ? "num bad-text" : heartbeat.state === "late" ? "num warn-text" : "num"}>{standing(heartbeat)}</span>
    </li>
  );
}

export function HeartbeatsPage({ overview }: { overview: Overview }) {
  const [text, setText] = useState("");
  const shown = overview.heartbeats.filter((heartbeat) => matches(text, heartbeat.name, WORDS[heartbeat.state]));
  return (
    <>
      <div class="page-head">
        <h1>Heartbeats</h1>
        <p>Scheduled jobs that report. One that stays silent past the time it is due and its grace is an alarm.</p>
        <Search value={text} onInput={setText} label="Search heartbeats" />
      </div>
      {overview.heartbeats.length === 0 && (
        <Empty>
          No job reports yet. Add one under <code>heartbeats:</code> in watchbell.yml; its address to ping is shown here.
        </Empty>
      )}
      <ul class="cards">
        {shown.map((heartbeat) => (
          <Card key={heartbeat.href} heartbeat={heartbeat} />
        ))}
      </ul>
    </>
  );
}

function Card({ heartbeat }: { heartbeat: Heartbeat }) {
  return (
    <li class={`card ${heartbeat.state === "down" ? "bad" : ""}`}>
      <header>
        <Glyph mark={markOfHeartbeat(heartbeat.state)} label={WORDS[heartbeat.state]} size={20} />
        <h2>
          <a href={heartbeat.href}>{heartbeat.name}</a>
        </h2>
        <span class="aside">{standing(heartbeat)}</span>
        <RunbookButton link={heartbeat.runbook} quiet />
      </header>
      <Timeline heartbeat={heartbeat} />
      <dl class="facts">
        <div>
          <dt>Schedule</dt>
          <dd>{heartbeat.schedule}</dd>
        </div>
        <div>
          <dt>Grace</dt>
          <dd>{span(heartbeat.grace)}</dd>
        </div>
        <div>
          <dt>Last ping</dt>
          <dd>{heartbeat.last_ping ? <Ago at={heartbeat.last_ping} /> : "never"}</dd>
        </div>
        <div>
          <dt>Alarms</dt>
          <dd>{heartbeat.deadline ? clock(heartbeat.deadline, now.value) : "–"}</dd>
        </div>
        <div>
          <dt>Last run</dt>
          <dd>{heartbeat.last_duration !== null ? span(heartbeat.last_duration) : "–"}</dd>
        </div>
      </dl>
      {heartbeat.ping_url && (
        <div class="give">
          <Copy text={whole(heartbeat.ping_url)} label="the address to ping" />
          <Copy text={filled(SNIPPETS[0]?.text ?? "", heartbeat.ping_url)} label="the end of a crontab line" />
          <details>
            <summary>Other jobs</summary>
            {SNIPPETS.slice(1).map((snippet) => (
              <Snippet key={snippet.kind} label={snippet.label} text={filled(snippet.text, heartbeat.ping_url ?? "")} />
            ))}
          </details>
        </div>
      )}
    </li>
  );
}

/** Without `site.url` watchbell knows only the path; jobs are told the address this page was opened under. */
const whole = (address: string) => new URL(address, location.href).href;

/** What a job says, with its address. */
const filled = (text: string, address: string) => text.replaceAll("{url}", whole(address)).trimEnd();

function Snippet({ label, text }: { label: string; text: string }) {
  return (
    <>
      <h3>{label}</h3>
      <Copy text={text} label={label} />
    </>
  );
}
