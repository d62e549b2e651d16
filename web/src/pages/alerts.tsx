// Alerts that fire, and the silences that hold some back.
import { useEffect, useMemo, useState } from "preact/hooks";
import { call, follow, words } from "../api";
import type { Alert, AlertGroup, NewSilence, Silence, SilenceMatcher } from "../api.gen";
import { Ago, Empty, FormEnd, Glyph, LabelChips, Loading, RunbookButton, Search, SeverityTag, Since, Trouble, matches } from "../parts";
import { route, setQuery } from "../route";
import { clock, now } from "../time";
import { Downtimes } from "./downtimes";
import { Told } from "./verdicts";

function markOf(alert: Alert) {
  if (alert.state === "suppressed") return "paused" as const;
  return alert.severity === "critical" ? ("alarm" as const) : alert.severity === "info" ? ("none" as const) : ("warn" as const);
}

/** The labels of a group as its title. */
function groupTitle(group: AlertGroup): string {
  return Object.values(group.labels).join(" · ") || "All alerts";
}

/** Says that somebody sees to an alert, or that nobody does any more. */
function Acknowledge({ alert }: { alert: Alert }) {
  const [error, setError] = useState("");
  const say = async (method: "POST" | "DELETE") => {
    try {
      await call(`alerts/${alert.fingerprint}/acknowledgement`, { method });
      setError("");
    } catch (problem) {
      setError(words(problem));
    }
  };
  return (
    <>
      {error && <span class="bad-text">{error}</span>}
      {alert.acknowledged ? (
        <button type="button" class="button" onClick={() => say("DELETE")}>
          Take back
        </button>
      ) : (
        <button type="button" class="button" onClick={() => say("POST")}>
          Acknowledge
        </button>
      )}
    </>
  );
}

export function GroupCard({ group, onSilence }: { group: AlertGroup; onSilence?: (alert: Alert) => void }) {
  return (
    <div class="group">
      <header>
        <h3>{groupTitle(group)}</h3>
        <span class="aside">
          to{" "}
          {onSilence ? (
            <a href={`/previews?${new URLSearchParams({ receiver: group.receiver, alert: group.alerts[0]?.fingerprint ?? "" })}`} title="How its page looks">
              {group.receiver}
            </a>
          ) : (
            group.receiver
          )}
        </span>
      </header>
      <ul class="rows alerts">
        {group.alerts.map((alert) => (
          <li class="row" key={alert.fingerprint}>
            <Glyph mark={markOf(alert)} label={alert.state === "suppressed" ? "Held back" : "Firing"} />
            <span class="name">
              <b>{alert.source_href ? <a href={alert.source_href}>{alert.summary || alert.name}</a> : alert.summary || alert.name}</b>
              {onSilence && alert.description && <span>{alert.description}</span>}
              <span>
                <SeverityTag severity={alert.severity} /> <Since at={alert.starts_at} />
                {alert.silenced_by.length > 0 && " · silenced"}
                {alert.inhibited_by.length > 0 && " · held back by another alert"}
                {alert.muted_by.length > 0 && ` · held back by ${alert.muted_by.join(", ")}`}
                {alert.acknowledged && (
                  <>
                    {" · "}
                    <b>{alert.acknowledged.by}</b> sees to it, <Ago at={alert.acknowledged.at} />
                    {alert.acknowledged.comment && `: ${alert.acknowledged.comment}`}
                  </>
                )}
              </span>
              {onSilence && <LabelChips labels={alert.labels} without={["severity"]} />}
            </span>
            <span class="do">
              <RunbookButton link={alert.runbook} quiet={!onSilence} />
              {onSilence && <Acknowledge alert={alert} />}
              {onSilence && (
                <button type="button" class="button" onClick={() => onSilence(alert)}>
                  Silence
                </button>
              )}
            </span>
          </li>
        ))}
      </ul>
    </div>
  );
}

export function AlertsPage() {
  const groups = useMemo(() => follow<AlertGroup[]>("alerts", ["alerts"]), []);
  const silences = useMemo(() => follow<Silence[]>("silences", ["alerts"]), []);
  useEffect(
    () => () => {
      groups.close();
      silences.close();
    },
    [groups, silences],
  );
  const [draft, setDraft] = useState<SilenceMatcher[] | undefined>();
  const text = route.value.query.get("q") ?? "";
  const all = groups.data.value;
  if (!all) return groups.error.value ? <Trouble what="alerts" error={groups.error.value} /> : <Loading />;
  const shown = all
    .map((group) => ({
      ...group,
      alerts: group.alerts.filter((alert) => matches(text, alert.summary, alert.name, ...Object.values(alert.labels))),
    }))
    .filter((group) => group.alerts.length > 0);
  const current = (silences.data.value ?? []).filter((silence) => silence.state !== "expired");
  const silenceAlert = (alert: Alert) =>
    setDraft(
      Object.entries(alert.labels)
        // This very alert; taking labels out makes it wider.
        .filter(([name]) => name !== "severity")
        .map(([name, value]) => ({ name, op: "=", value })),
    );
  return (
    <>
      <div class="page-head">
        <h1>Alerts</h1>
        <p>What fires now, grouped as people are told of it.</p>
        <Search value={text} onInput={(value) => setQuery({ q: value })} label="Search alerts" />
        <button type="button" class="button" onClick={() => setDraft([{ name: "alertname", op: "=", value: "" }])}>
          New silence
        </button>
      </div>
      <Trouble what="alerts" error={groups.error.value} />
      {draft && (
        <SilenceForm
          matchers={draft}
          onDone={() => {
            setDraft(undefined);
            void silences.refresh();
            void groups.refresh();
          }}
        />
      )}
      {shown.length === 0 ? (
        <Empty>{text ? "No alert matches." : "No alert is firing."}</Empty>
      ) : (
        shown.map((group) => <GroupCard key={`${group.receiver}${JSON.stringify(group.labels)}`} group={group} onSilence={silenceAlert} />)
      )}
      <section class="section" aria-label="Silences">
        <header>
          <h2>Silences</h2>
          <span class="aside">{current.length}</span>
        </header>
        <Trouble what="silences" error={silences.error.value} />
        {current.length === 0 ? (
          <Empty>Nothing is silenced.</Empty>
        ) : (
          <ul class="rows silences">
            {current.map((silence) => (
              <SilenceRow key={silence.id} silence={silence} onDone={() => void silences.refresh()} />
            ))}
          </ul>
        )}
      </section>
      <Downtimes />
      <Told />
    </>
  );
}

function SilenceRow({ silence, onDone }: { silence: Silence; onDone: () => void }) {
  const [error, setError] = useState("");
  const expire = async () => {
    try {
      await call(`silences/${encodeURIComponent(silence.id)}`, { method: "DELETE" });
      onDone();
    } catch (problem) {
      setError(words(problem));
    }
  };
  return (
    <li class="row">
      <Glyph mark="paused" label={silence.state} />
      <span class="name">
        <b class="mono">{silence.matchers.map((matcher) => `${matcher.name}${matcher.op}"${matcher.value}"`).join(" ")}</b>
        <span>
          {silence.comment && `${silence.comment} · `}by {silence.created_by || "unknown"}
          {error && <span class="bad-text"> · {error}</span>}
        </span>
      </span>
      <span class="num">
        {silence.state === "pending" ? (
          <>
            starts <Ago at={silence.starts_at} />
          </>
        ) : (
          <>
            until {clock(silence.ends_at, now.value)}, <Ago at={silence.ends_at} />
          </>
        )}
      </span>
      <button type="button" class="button" onClick={expire}>
        End
      </button>
    </li>
  );
}

const LENGTHS: [string, number][] = [
  ["30 min", 1800],
  ["1 h", 3600],
  ["2 h", 7200],
  ["8 h", 28800],
  ["1 d", 86400],
  ["7 d", 604800],
];

function SilenceForm({ matchers: first, onDone }: { matchers: SilenceMatcher[]; onDone: () => void }) {
  const [matchers, setMatchers] = useState(first);
  const [duration, setDuration] = useState(7200);
  const [comment, setComment] = useState("");
  const [error, setError] = useState("");
  useEffect(() => setMatchers(first), [first]);
  const change = (at: number, part: Partial<SilenceMatcher>) =>
    setMatchers(matchers.map((matcher, index) => (index === at ? { ...matcher, ...part } : matcher)));
  const submit = async (event: Event) => {
    event.preventDefault();
    const body: NewSilence = { matchers: matchers.filter((matcher) => matcher.name), duration, comment };
    try {
      await call("silences", { method: "POST", body: JSON.stringify(body) });
      onDone();
    } catch (problem) {
      setError(words(problem));
    }
  };
  return (
    <form class="card form" onSubmit={submit} aria-label="New silence">
      <h2>Silence what matches all of</h2>
      {matchers.map((matcher, at) => (
        <div class="matcher" key={at}>
          <input aria-label="Label" value={matcher.name} onInput={(event) => change(at, { name: event.currentTarget.value })} placeholder="label" />
          <select aria-label="Compares by" value={matcher.op} onChange={(event) => change(at, { op: event.currentTarget.value })}>
            {["=", "!=", "=~", "!~"].map((op) => (
              <option key={op}>{op}</option>
            ))}
          </select>
          <input aria-label="Value" value={matcher.value} onInput={(event) => change(at, { value: event.currentTarget.value })} placeholder="value" />
          <button type="button" class="ghost" aria-label={`Take out ${matcher.name}`} onClick={() => setMatchers(matchers.filter((_, index) => index !== at))}>
            ✕
          </button>
        </div>
      ))}
      <button type="button" class="ghost" onClick={() => setMatchers([...matchers, { name: "", op: "=", value: "" }])}>
        + another label
      </button>
      <fieldset class="tabs">
        <legend>For</legend>
        {LENGTHS.map(([name, seconds]) => (
          <button key={name} type="button" aria-pressed={duration === seconds} onClick={() => setDuration(seconds)}>
            {name}
          </button>
        ))}
      </fieldset>
      <input aria-label="Why" value={comment} onInput={(event) => setComment(event.currentTarget.value)} placeholder="Why" />
      <FormEnd error={error} does="Silence" onCancel={onDone} />
    </form>
  );
}
