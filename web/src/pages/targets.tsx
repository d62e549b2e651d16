// What is scraped, what is not and why; every relabelling rule can be followed step by step.
import { useEffect, useMemo, useState } from "preact/hooks";
import { call, follow } from "../api";
import type { DroppedTarget, RelabelStep, TargetStatus, Targets } from "../api.gen";
import { Ago, Empty, Glyph, LabelChips, Loading, Search, Section, Trouble, matches } from "../parts";

type Labels = Record<string, string>;

/** More targets than this of one job are shown when they are asked for. */
const SHOWN_AT_FIRST = 100;

const MARKS = { up: "ok", down: "alarm", unknown: "none" } as const;
const WORDS = { up: "Up", down: "Down", unknown: "Not scraped yet" };

/** A rule in one line, only with what differs from the defaults. */
function ruleText({ rule }: RelabelStep): string {
  const parts = [`action: ${rule.action ?? "replace"}`];
  if (rule.source_labels?.length) parts.push(`source_labels: [${rule.source_labels.join(", ")}]`);
  if (rule.separator !== undefined && rule.separator !== ";") parts.push(`separator: ${JSON.stringify(rule.separator)}`);
  if (rule.regex !== undefined && rule.regex !== "(.*)") parts.push(`regex: ${rule.regex}`);
  if (rule.modulus) parts.push(`modulus: ${rule.modulus}`);
  if (rule.target_label) parts.push(`target_label: ${rule.target_label}`);
  if (rule.replacement !== undefined && rule.replacement !== "$1") parts.push(`replacement: ${JSON.stringify(rule.replacement)}`);
  return parts.join(" · ");
}

/** What a rule changed: new and other values, and what is gone. */
function Changes({ before, after }: { before: Labels; after: Labels }) {
  const changed = Object.entries(after).filter(([name, value]) => before[name] !== value);
  const gone = Object.keys(before).filter((name) => !(name in after));
  if (changed.length === 0 && gone.length === 0) return <span>changes nothing</span>;
  return (
    <span class="chips">
      {changed.map(([name, value]) => (
        <span class="chip changed" key={name}>
          <i>{name}</i> {value}
        </span>
      ))}
      {gone.map((name) => (
        <span class="chip gone" key={name}>
          <i>{name}</i> {before[name]}
        </span>
      ))}
    </span>
  );
}

/** Labels before relabelling and what each rule makes of them, fetched when it is opened. */
function Steps({ pool, discovered }: { pool: string; discovered: Labels }) {
  const [steps, setSteps] = useState<RelabelStep[] | undefined>();
  const [error, setError] = useState<string | undefined>();
  const load = (event: Event) => {
    if (!(event.currentTarget as HTMLDetailsElement).open || steps) return;
    const labels = encodeURIComponent(JSON.stringify(discovered));
    call<RelabelStep[]>(`targets/steps?pool=${encodeURIComponent(pool)}&labels=${labels}`).then(setSteps, (reason) => setError(String(reason)));
  };
  let before = discovered;
  return (
    <details onToggle={load}>
      <summary>Labels before relabelling{steps && `, and what ${steps.length} ${steps.length === 1 ? "rule makes" : "rules make"} of them`}</summary>
      <LabelChips labels={discovered} />
      <Trouble what="the steps" error={error} />
      {steps && (
        <ol class="relabelling">
          {steps.map((step, at) => {
            const last = before;
            before = step.labels;
            return (
              <li key={at} class={step.keep ? "" : "dropped"}>
                <code>{ruleText(step)}</code>
                <br />
                {step.keep ? <Changes before={last} after={step.labels} /> : <b>drops the target</b>}
              </li>
            );
          })}
          {steps.length === 0 && <li>The job has no relabelling rule.</li>}
        </ol>
      )}
    </details>
  );
}

function Row({ target }: { target: TargetStatus }) {
  return (
    <li class={target.health === "down" ? "row bad" : "row"}>
      <Glyph mark={MARKS[target.health]} label={WORDS[target.health]} />
      <span class="name">
        <b>{target.instance}</b>
        <span>{target.url}</span>
        {target.error && <span class="bad-text">{target.error}</span>}
        {target.warning && <span>breaks OpenMetrics, and is taken all the same: {target.warning}</span>}
      </span>
      <span class="num">{target.health === "unknown" ? "" : `${target.samples.toLocaleString()} samples in ${target.last_duration ?? "?"}`}</span>
      <span class="num">{target.last_scrape ? <Ago at={target.last_scrape} /> : `every ${target.interval}`}</span>
      <Steps pool={target.pool} discovered={target.discovered} />
    </li>
  );
}

function Dropped({ target }: { target: DroppedTarget }) {
  return (
    <li class={target.error ? "row bad" : "row"}>
      <Glyph mark={target.error ? "alarm" : "none"} label={target.error ? "Cannot be scraped" : "Dropped by relabelling"} />
      <span class="name">
        <b>{target.discovered.__address__ ?? "no address"}</b>
        <span class={target.error ? "bad-text" : ""}>{target.error ?? "dropped by relabelling"}</span>
      </span>
      <span />
      <span />
      <Steps pool={target.pool} discovered={target.discovered} />
    </li>
  );
}

function Job({ name, all, page }: { name: string; all: TargetStatus[]; page: Targets }) {
  const [more, setMore] = useState(false);
  const up = all.filter((target) => target.health === "up").length;
  const worst = [...all].sort((a, b) => Number(b.health === "down") - Number(a.health === "down"));
  const shown = more ? worst : worst.slice(0, SHOWN_AT_FIRST);
  const dropped = page.dropped.filter((target) => target.pool === name);
  const count = page.dropped_counts[name] ?? 0;
  const found = page.discoveries.filter((discovery) => discovery.pool === name);
  return (
    <Section title={name} aside={<span class={up < all.length ? "bad-text" : ""}>{`${up} of ${all.length} up`}</span>}>
      {found
        .filter((discovery) => discovery.error)
        .map((discovery, at) => (
          <p class="notice warn" key={at}>
            The discovery `{discovery.kind}` fails, its last targets stay: {discovery.error}
          </p>
        ))}
      <ul class="rows targets">
        {shown.map((target) => (
          <Row key={target.instance + target.url} target={target} />
        ))}
        {all.length === 0 && <li class="empty">It has no target.</li>}
        {dropped.map((target, at) => (
          <Dropped key={at} target={target} />
        ))}
      </ul>
      {shown.length < all.length && (
        <button type="button" class="ghost" onClick={() => setMore(true)}>
          Show all {all.length} targets
        </button>
      )}
      {count > dropped.length && <p class="empty">{count} targets were dropped by relabelling; not all of them are shown.</p>}
    </Section>
  );
}

export function TargetsPage() {
  const targets = useMemo(() => follow<Targets>("targets", []), []);
  useEffect(() => targets.close, [targets]);
  const [text, setText] = useState("");
  const page = targets.data.value;
  if (!page) return targets.error.value ? <Trouble what="targets" error={targets.error.value} /> : <Loading />;
  const shown = page.targets.filter((it) => matches(text, it.pool, it.instance, it.url, it.health, it.error));
  const names = [...new Set([...page.targets.map((it) => it.pool), ...page.dropped.map((it) => it.pool), ...page.discoveries.map((it) => it.pool)])].sort();
  return (
    <>
      <div class="page-head">
        <h1>Targets</h1>
        <p>What is scraped, how the last scrape went, and what relabelling made of what was discovered.</p>
        <Search value={text} onInput={setText} label="Search targets" />
      </div>
      <Trouble what="targets" error={targets.error.value} />
      {names.length === 0 ? (
        <Empty>
          Nothing is scraped yet. Add a job under <code>scrape_configs:</code> in watchbell.yml.
        </Empty>
      ) : (
        <div class="stack">
          {names
            .map((name) => ({ name, all: shown.filter((it) => it.pool === name) }))
            .filter(({ all }) => text === "" || all.length > 0)
            .map(({ name, all }) => (
              <Job key={name} name={name} all={all} page={page} />
            ))}
        </div>
      )}
    </>
  );
}
