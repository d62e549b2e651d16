// Status pages, and what they tell those who use what is watched: incidents are opened, told of and ended here.
import { useEffect, useMemo, useState } from "preact/hooks";
import { call, follow, words } from "../api";
import type { Health, Impact, Incident, NewIncident, NewIncidentUpdate, Stage, StatusPage } from "../api.gen";
import { Ago, Empty, FormEnd, Glyph, Loading, type Mark, Section, Trouble } from "../parts";
import { clock, now } from "../time";

const STAGES: [Stage, string][] = [
  ["investigating", "Investigating"],
  ["identified", "Identified"],
  ["monitoring", "Monitoring"],
  ["resolved", "Resolved"],
];
const IMPACTS: [Impact, string][] = [
  ["notice", "Notice: to be known"],
  ["degraded", "Degraded: some of it does not work"],
  ["outage", "Outage: it does not work"],
];
const ACCESS = { public: "everybody", token: "who has its token", private: "who is signed in" };

function markOf(state: Health): Mark {
  return ({ up: "ok", maintenance: "paused", unknown: "none", degraded: "warn", down: "alarm" } as const)[state];
}

function markOfIncident(incident: Incident): Mark {
  if (incident.resolved_at) return "ok";
  return ({ notice: "none", degraded: "warn", outage: "alarm" } as const)[incident.impact];
}

export function StatusPagesPage() {
  const pages = useMemo(() => follow<StatusPage[]>("status-pages", ["alarms", "heartbeats", "config"]), []);
  const incidents = useMemo(() => follow<Incident[]>("incidents", []), []);
  useEffect(
    () => () => {
      pages.close();
      incidents.close();
    },
    [pages, incidents],
  );
  const [opening, setOpening] = useState(false);
  const found = pages.data.value;
  if (!found) return pages.error.value ? <Trouble what="status pages" error={pages.error.value} /> : <Loading />;
  const refresh = () => {
    void incidents.refresh();
    void pages.refresh();
  };
  const done = () => {
    setOpening(false);
    refresh();
  };
  const all = incidents.data.value ?? [];
  return (
    <>
      <h1>Status pages</h1>
      {opening && <Open pages={found} onDone={done} />}
      <section class="section" aria-label="Incidents">
        <header>
          <h2>Incidents</h2>
          {found.length > 0 && (
            <button type="button" class="button" onClick={() => setOpening(true)}>
              Open incident
            </button>
          )}
        </header>
        <Trouble what="incidents" error={incidents.error.value} />
        {all.length === 0 ? (
          <Empty>Nothing is told.</Empty>
        ) : (
          <ul class="rows incidents">
            {all.map((incident) => (
              <Row key={incident.id} incident={incident} onDone={refresh} />
            ))}
          </ul>
        )}
      </section>
      <Section title="Pages">
        <Trouble what="status pages" error={pages.error.value} />
        {found.length === 0 ? (
          <Empty>
            There is no status page. Write one under <code>status_pages:</code> in the configuration.
          </Empty>
        ) : (
          <ul class="rows alerts">
            {found.map((page) => (
              <Page key={page.name} page={page} />
            ))}
          </ul>
        )}
      </Section>
    </>
  );
}

function Page({ page }: { page: StatusPage }) {
  const figure = (item: StatusPage["items"][number]) => {
    const last = item.uptime[item.uptime.length - 1];
    return last && last.up !== null ? `${Math.floor(last.up * 10000) / 100} % in ${last.window}` : "not known yet";
  };
  return (
    <li class="row">
      <Glyph mark={markOf(page.state)} label={page.state} />
      <span class="name">
        <b>
          <a href={`/status/${encodeURIComponent(page.name)}`}>{page.title}</a>
        </b>
        <span>
          {page.summary} · for {ACCESS[page.access]} · <span class="mono">{page.href}</span>
        </span>
        <details>
          <summary>{page.items.length === 1 ? "1 item" : `${page.items.length} items`}</summary>
          <ul>
            {page.items.map((item) => (
              <li key={item.id}>
                {item.name}: {item.state}, {figure(item)} · badge <span class="mono">/status/{page.name}/badge/{item.id}/status.svg</span>
              </li>
            ))}
          </ul>
        </details>
      </span>
    </li>
  );
}

function Row({ incident, onDone }: { incident: Incident; onDone: () => void }) {
  const [saying, setSaying] = useState(false);
  const [error, setError] = useState("");
  const last = incident.updates[incident.updates.length - 1];
  const remove = async () => {
    if (!confirm(`Take "${incident.title}" off every page, as if it had never been told?`)) return;
    try {
      await call(`incidents/${incident.id}`, { method: "DELETE" });
      onDone();
    } catch (problem) {
      setError(words(problem));
    }
  };
  return (
    <li class="row">
      <Glyph mark={markOfIncident(incident)} label={incident.stage} />
      <span class="name">
        <b>{incident.title}</b>
        <span>
          {incident.impact}
          {incident.affects.length > 0 && `: ${incident.affects.join(", ")}`}
          {incident.pages.length > 0 && ` · on ${incident.pages.join(", ")}`}
        </span>
        {last && (
          <span>
            {last.stage} <Ago at={last.at} />, {clock(last.at, now.value)}, by {last.by}: {last.text}
          </span>
        )}
        {error && <span class="bad-text">{error}</span>}
        {saying && (
          <Update
            incident={incident}
            onDone={() => {
              setSaying(false);
              onDone();
            }}
          />
        )}
      </span>
      {!saying && (
        <span class="do">
          <button type="button" class="button" onClick={() => setSaying(true)}>
            {incident.resolved_at ? "Reopen" : "Update"}
          </button>
          <button type="button" class="ghost" onClick={remove}>
            Remove
          </button>
        </span>
      )}
    </li>
  );
}

function Choice<T extends string>({ name, label, all, value }: { name: string; label: string; all: [T, string][]; value: T }) {
  return (
    <label>
      {label}
      <select name={name} defaultValue={value}>
        {all.map(([one, words]) => (
          <option key={one} value={one} selected={one === value}>
            {words}
          </option>
        ))}
      </select>
    </label>
  );
}

function Update({ incident, onDone }: { incident: Incident; onDone: () => void }) {
  const [error, setError] = useState("");
  const submit = async (event: Event) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget as HTMLFormElement);
    const body: NewIncidentUpdate = {
      text: String(form.get("text")),
      stage: String(form.get("stage")) as Stage,
      impact: String(form.get("impact")) as Impact,
      title: String(form.get("title")),
      affects: null,
    };
    try {
      await call(`incidents/${incident.id}`, { method: "POST", body: JSON.stringify(body) });
      onDone();
    } catch (problem) {
      setError(words(problem));
    }
  };
  return (
    <form class="form" onSubmit={submit} aria-label={`Update of ${incident.title}`}>
      <input name="title" aria-label="Title" defaultValue={incident.title} required />
      <textarea name="text" aria-label="What is new" placeholder="What those should know who use it" rows={3} required autoFocus />
      <Choice name="stage" label="How far you are" all={STAGES} value={incident.stage} />
      <Choice name="impact" label="What people feel" all={IMPACTS} value={incident.impact} />
      <FormEnd error={error} does="Tell them" onCancel={onDone} />
    </form>
  );
}

function Open({ pages, onDone }: { pages: StatusPage[]; onDone: () => void }) {
  const [error, setError] = useState("");
  // What several pages show is called as the first of them calls it.
  const items = [...new Map(pages.flatMap((page) => page.items).reverse().map((item) => [item.alarm, item.name])).entries()].reverse();
  const submit = async (event: Event) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget as HTMLFormElement);
    const body: NewIncident = {
      title: String(form.get("title")),
      text: String(form.get("text")),
      stage: String(form.get("stage")) as Stage,
      impact: String(form.get("impact")) as Impact,
      affects: form.getAll("affects").map(String),
      pages: form.getAll("pages").map(String),
    };
    try {
      await call("incidents", { method: "POST", body: JSON.stringify(body) });
      onDone();
    } catch (problem) {
      setError(words(problem));
    }
  };
  return (
    <form class="card form" onSubmit={submit} aria-label="New incident">
      <h2>New incident</h2>
      <p>Those read this who use what is watched. Nobody is paged by it.</p>
      <input name="title" aria-label="Title" placeholder="What it is about, such as Mail arrives late" required autoFocus />
      <textarea name="text" aria-label="What is known" placeholder="What those should know who use it" rows={4} required />
      <Choice name="stage" label="How far you are" all={STAGES.slice(0, 3)} value="investigating" />
      <Choice name="impact" label="What people feel" all={IMPACTS} value="degraded" />
      <fieldset class="choices">
        <legend>What it is about</legend>
        {items.map(([alarm, name]) => (
          <label key={alarm}>
            <input type="checkbox" name="affects" value={alarm} /> {name}
          </label>
        ))}
      </fieldset>
      {pages.length > 1 && (
        <fieldset class="choices">
          <legend>Pages that show it; all of them if none is chosen</legend>
          {pages.map((page) => (
            <label key={page.name}>
              <input type="checkbox" name="pages" value={page.name} /> {page.title}
            </label>
          ))}
        </fieldset>
      )}
      <FormEnd error={error} does="Open it" onCancel={onDone} />
    </form>
  );
}
