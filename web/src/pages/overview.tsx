// What is wrong now, and how everything else does.
import type { Alarm, Heartbeat, Host, Monitor, Outbox, Overview } from "../api.gen";
import { Ago, Bars, Empty, Glyph, RunbookButton, Section, SeverityTag, Since, Spark, markOfAlarm } from "../parts";
import { bytes, latency, now, percent, relative, span } from "../time";
import { HeartbeatRow } from "./heartbeats";
import { GroupCard } from "./alerts";

/** More rows than this are on the list's own page; what is wrong comes first in both. */
const ROWS_MAX = 14;

export function OverviewPage({ overview }: { overview: Overview }) {
  return (
    <div class="overview">
      <ConfigBanner overview={overview} />
      <Wrong overview={overview} />
      <div class="columns">
        <div class="stack">
          <Monitors monitors={overview.monitors} />
          {overview.host && <HostSection host={overview.host} />}
        </div>
        <div class="stack">
          <Heartbeats heartbeats={overview.heartbeats} />
          {overview.groups.length > 0 && (
            <Section title="Firing alerts" href="/alerts">
              {overview.groups.map((group) => (
                <GroupCard key={`${group.receiver}${JSON.stringify(group.labels)}`} group={group} />
              ))}
            </Section>
          )}
          <OutboxSection outbox={overview.outbox} />
        </div>
      </div>
      <footer class="foot">
        watchbell {overview.site.version}, running <Ago at={overview.site.started_at} bare /> · configuration loaded{" "}
        <Ago at={overview.config.loaded_at} /> · <kbd>?</kbd> for keys
      </footer>
    </div>
  );
}

export function ConfigBanner({ overview }: { overview: Overview }) {
  const { refused_at, loaded_at, problems } = overview.config;
  if (!refused_at) return null;
  return (
    <div class="notice alarm" role="alert">
      <Glyph mark="alarm" size={20} />
      <div>
        <p>
          <b>The configuration was refused</b> <Ago at={refused_at} />. The one from <Ago at={loaded_at} /> stays in use.
        </p>
        <pre>{problems.join("\n")}</pre>
      </div>
    </div>
  );
}

function Wrong({ overview }: { overview: Overview }) {
  const { wrong, monitors, heartbeats, totals } = overview;
  if (wrong.length === 0) {
    const up = monitors.filter((monitor) => monitor.state === "OK").length;
    const inTime = heartbeats.filter((heartbeat) => heartbeat.state === "up").length;
    const parts = [
      monitors.length > 0 && `${up} of ${monitors.length} monitors up`,
      heartbeats.length > 0 && `${inTime} of ${heartbeats.length} heartbeats in time`,
      `${totals.ok} alarms OK`,
      totals.insufficient_data > 0 && `${totals.insufficient_data} without enough data`,
    ].filter(Boolean);
    return (
      <div class="hero quiet" aria-live="polite">
        <Glyph mark="ok" size={40} />
        <div>
          <h1>Nothing is wrong</h1>
          <p>{parts.join(" · ")}</p>
        </div>
      </div>
    );
  }
  return (
    <div class="wrongs" aria-live="polite">
      <h1>
        {wrong.length} {wrong.length === 1 ? "thing is" : "things are"} wrong
      </h1>
      <ul>
        {wrong.map((alarm) => (
          <WrongCard key={alarm.id} alarm={alarm} />
        ))}
      </ul>
    </div>
  );
}

function WrongCard({ alarm }: { alarm: Alarm }) {
  const mark = markOfAlarm(alarm.state, alarm.severity);
  return (
    <li class={`wrong ${mark} ${alarm.muted ? "muted" : ""}`}>
      <Glyph mark={mark} size={30} label="In alarm" />
      <div class="what">
        <h2>
          <a href={alarm.href}>{alarm.name}</a>
        </h2>
        <p class="reason">{alarm.reason}</p>
        <p class="when">
          <SeverityTag severity={alarm.severity} /> <Since at={alarm.since} />
          {alarm.firing > 1 && <> · {alarm.firing} series</>}
          {alarm.muted && " · held back, nobody is told"}
        </p>
      </div>
      <div class="do">
        <RunbookButton link={alarm.runbook} />
        <a class="button" href={alarm.href}>
          Graph
        </a>
      </div>
    </li>
  );
}

function Monitors({ monitors }: { monitors: Monitor[] }) {
  const up = monitors.filter((monitor) => monitor.state === "OK").length;
  return (
    <Section title="Monitors" href="/monitors" aside={monitors.length > 0 && `${up} of ${monitors.length} up`}>
      {monitors.length === 0 ? (
        <Empty>
          Nothing is probed yet. Add a service under <code>monitors:</code> in watchbell.yml.
        </Empty>
      ) : (
        <ul class="rows monitors">
          {monitors.slice(0, ROWS_MAX).map((monitor) => (
            <MonitorRow key={monitor.name} monitor={monitor} />
          ))}
        </ul>
      )}
      {monitors.length > ROWS_MAX && (
        <a class="more" href="/monitors">
          All {monitors.length} monitors
        </a>
      )}
    </Section>
  );
}

export function MonitorRow({ monitor }: { monitor: Monitor }) {
  const down = monitor.state === "ALARM";
  const words = { OK: "Up", ALARM: "Down", INSUFFICIENT_DATA: "Not probed yet" }[monitor.state];
  return (
    <li class={down ? "row bad" : "row"}>
      <Glyph mark={markOfAlarm(monitor.state, monitor.severity)} label={words} />
      <a class="name" href={monitor.href}>
        <b>{monitor.name}</b>
        <span>{down ? monitor.reason : monitor.target}</span>
      </a>
      <Bars values={monitor.bars} name={monitor.name} />
      <span class="num strong" title="The last probe took">
        {down ? <span class="bad-text">down <Ago at={monitor.since} bare /></span> : latency(monitor.latency)}
      </span>
      <span class="num share" title="Availability over 24 hours">
        {percent(monitor.availability)}
      </span>
    </li>
  );
}

function Heartbeats({ heartbeats }: { heartbeats: Heartbeat[] }) {
  const inTime = heartbeats.filter((heartbeat) => heartbeat.state === "up").length;
  return (
    <Section title="Heartbeats" href="/heartbeats" aside={heartbeats.length > 0 && `${inTime} of ${heartbeats.length} in time`}>
      {heartbeats.length === 0 ? (
        <Empty>
          No scheduled job reports yet. Add one under <code>heartbeats:</code>, then ping its address from cron.
        </Empty>
      ) : (
        <ul class="rows heartbeats">
          {heartbeats.slice(0, ROWS_MAX).map((heartbeat) => (
            <HeartbeatRow key={heartbeat.href} heartbeat={heartbeat} />
          ))}
        </ul>
      )}
      {heartbeats.length > ROWS_MAX && (
        <a class="more" href="/heartbeats">
          All {heartbeats.length} heartbeats
        </a>
      )}
    </Section>
  );
}

function OutboxSection({ outbox }: { outbox: Outbox }) {
  const stuck = outbox.oldest !== null && now.value - Date.parse(outbox.oldest) > 60_000;
  const aside =
    outbox.queued === 0 ? "nothing waits" : `${outbox.queued} ${outbox.queued === 1 ? "page waits" : "pages wait"}${outbox.oldest ? `, the oldest ${relative(outbox.oldest, now.value).replace(" ago", "")}` : ""}`;
  return (
    <Section title="Pages going out" href="/deliveries" aside={<span class={stuck ? "bad-text" : ""}>{aside}</span>}>
      {outbox.channels.length === 0 ? (
        <Empty>
          Nobody is told yet. Add a channel under <code>receivers:</code>.
        </Empty>
      ) : (
        <ul class="rows channels">
          {outbox.channels.map((channel) => (
            <li class={channel.error ? "row bad" : "row"} key={channel.name}>
              <Glyph mark={channel.error ? "alarm" : channel.accepted_at ? "ok" : "none"} label={channel.error ? "failing" : channel.accepted_at ? "working" : "never used"} />
              <span class="name">
                <b>{channel.name}</b>
                {channel.error && <span>{channel.error}</span>}
              </span>
              <span class="num">
                {channel.queued > 0 && <b>{channel.queued} waiting · </b>}
                {channel.accepted_at ? (
                  <>
                    accepted <Ago at={channel.accepted_at} />
                  </>
                ) : (
                  "nothing sent yet"
                )}
              </span>
            </li>
          ))}
        </ul>
      )}
    </Section>
  );
}

function last(values: (number | null)[]): number | null {
  return values.findLast((value) => value !== null) ?? null;
}

function HostSection({ host }: { host: Host }) {
  const cpu = last(host.cpu.values);
  const memory = last(host.memory.values);
  const covers = span(host.cpu.step * host.cpu.values.length);
  return (
    <Section title="This host" aside={host.instance}>
      <div class="host">
        <figure>
          <figcaption>
            CPU <b>{percent(cpu, 0)}</b>
            {host.load !== null && <span>load {host.load.toFixed(2)}</span>}
          </figcaption>
          <Spark values={host.cpu.values} max={1} label={`CPU over ${covers}, now ${percent(cpu, 0)}`} />
        </figure>
        <figure>
          <figcaption>
            Memory <b>{percent(memory, 0)}</b>
            {host.memory_bytes !== null && <span>of {bytes(host.memory_bytes)}</span>}
          </figcaption>
          <Spark values={host.memory.values} max={1} label={`Memory over ${covers}, now ${percent(memory, 0)}`} />
        </figure>
        <ul class="disks">
          {host.disks.map((disk) => (
            <li key={disk.mountpoint}>
              <span>{disk.mountpoint}</span>
              <meter min={0} max={1} low={0.8} high={0.9} optimum={0} value={disk.used} aria-label={`${disk.mountpoint} is ${percent(disk.used, 0)} full`} />
              <b>{percent(disk.used, 0)}</b>
              <span>of {bytes(disk.bytes)}</span>
            </li>
          ))}
        </ul>
      </div>
    </Section>
  );
}
