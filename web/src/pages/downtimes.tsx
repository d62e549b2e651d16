// Known periods in which certain alerts page nobody: those of the configuration, and those that are made here.
import { useEffect, useMemo, useState } from "preact/hooks";
import { call, follow, words } from "../api";
import type { Downtime, NewDowntime } from "../api.gen";
import { Ago, Empty, FormEnd, Glyph, Trouble } from "../parts";
import { clock, now } from "../time";

type Kind = "now" | "once" | "again";
const KINDS: [Kind, string][] = [
  ["now", "From now"],
  ["once", "Once"],
  ["again", "Again and again"],
];

export function Downtimes() {
  const downtimes = useMemo(() => follow<Downtime[]>("downtimes", ["alerts"]), []);
  useEffect(() => downtimes.close, [downtimes]);
  const [making, setMaking] = useState(false);
  const refresh = () => void downtimes.refresh();
  const current = (downtimes.data.value ?? []).filter((downtime) => downtime.state !== "over");
  return (
    <>
      {making && (
        <Form
          onDone={() => {
            setMaking(false);
            refresh();
          }}
        />
      )}
      <section class="section" aria-label="Downtimes">
        <header>
          <h2>Downtimes</h2>
          <button type="button" class="button" onClick={() => setMaking(true)}>
            New downtime
          </button>
        </header>
        <Trouble what="downtimes" error={downtimes.error.value} />
        {current.length === 0 ? (
          <Empty>No downtime is planned.</Empty>
        ) : (
          <ul class="rows silences">
            {current.map((downtime) => (
              <Row key={downtime.id ?? downtime.downtime.name} downtime={downtime} onDone={refresh} />
            ))}
          </ul>
        )}
      </section>
    </>
  );
}

function Row({ downtime, onDone }: { downtime: Downtime; onDone: () => void }) {
  const [error, setError] = useState("");
  const end = async () => {
    try {
      await call(`downtimes/${encodeURIComponent(downtime.id ?? "")}`, { method: "DELETE" });
      onDone();
    } catch (problem) {
      setError(words(problem));
    }
  };
  const { name, matchers, during = [], cron } = downtime.downtime;
  return (
    <li class="row">
      <Glyph mark={downtime.state === "active" ? "paused" : "none"} label={downtime.state === "active" ? "In force" : "Not yet"} />
      <span class="name">
        <b>{name}</b>
        <span class="mono">{matchers.join(" ")}</span>
        <span>
          {downtime.why && `${downtime.why} · `}
          {downtime.id ? `by ${downtime.by}` : "in the configuration"}
          {cron && ` · again by ${cron}`}
          {error && <span class="bad-text"> · {error}</span>}
        </span>
      </span>
      <span class="num">
        {during.length > 0 ? (
          `${downtime.state === "active" ? "now, " : ""}during ${during.join(", ")}`
        ) : downtime.in_force_until ? (
          <>
            until {clock(downtime.in_force_until, now.value)}, <Ago at={downtime.in_force_until} />
          </>
        ) : (
          downtime.next_at && (
            <>
              from {clock(downtime.next_at, now.value)}, <Ago at={downtime.next_at} />
            </>
          )
        )}
      </span>
      {downtime.id && (
        <button type="button" class="button" onClick={end}>
          End
        </button>
      )}
    </li>
  );
}

function Form({ onDone }: { onDone: () => void }) {
  const [kind, setKind] = useState<Kind>("now");
  const [error, setError] = useState("");
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const submit = async (event: Event) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget as HTMLFormElement);
    const text = (name: string) => String(form.get(name) ?? "").trim();
    const downtime: NewDowntime["downtime"] = {
      name: text("name"),
      matchers: [text("matchers")],
      from: kind === "once" ? text("from") : null,
      until: kind === "once" ? text("until") : null,
      cron: kind === "again" ? text("cron") : null,
      lasts: kind === "once" ? null : text("lasts"),
      time_zone: zone,
    };
    const body: NewDowntime = { downtime, why: text("why") };
    try {
      await call("downtimes", { method: "POST", body: JSON.stringify(body) });
      onDone();
    } catch (problem) {
      setError(words(problem));
    }
  };
  return (
    <form class="card form" onSubmit={submit} aria-label="New downtime">
      <h2>New downtime</h2>
      <p>Pages are kept back and nothing else; what is still broken when it ends is told of then.</p>
      <input name="name" aria-label="Name" placeholder="Name, such as database move" required />
      <input name="matchers" aria-label="What it covers" placeholder={'What it covers, such as service="db"'} class="mono" required />
      <fieldset class="tabs">
        <legend>When</legend>
        {KINDS.map(([one, words]) => (
          <button key={one} type="button" aria-pressed={kind === one} onClick={() => setKind(one)}>
            {words}
          </button>
        ))}
      </fieldset>
      {kind === "once" && (
        <div class="pair">
          <input name="from" type="datetime-local" aria-label="From" required />
          <span>until</span>
          <input name="until" type="datetime-local" aria-label="Until" required />
        </div>
      )}
      {kind === "again" && <input name="cron" aria-label="Cron" placeholder="When it begins, as cron has it: 0 3 * * SUN" class="mono" required />}
      {kind !== "once" && <input name="lasts" aria-label="How long" placeholder="How long, such as 2h" required />}
      <input name="why" aria-label="Why" placeholder="Why" />
      {kind !== "now" && <p class="dim">Times are those of {zone}.</p>}
      <FormEnd error={error} does="Make it" onCancel={onDone} />
    </form>
  );
}
