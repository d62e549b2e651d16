// The run books and what links to them.
import { useEffect, useMemo, useState } from "preact/hooks";
import { follow } from "../api";
import type { Runbook } from "../api.gen";
import { Empty, Glyph, Loading, STATE_WORDS, Search, Trouble, markOfAlarm, matches } from "../parts";

export function RunbooksPage() {
  const runbooks = useMemo(() => follow<Runbook[]>("runbooks", ["alarms", "config"]), []);
  useEffect(() => runbooks.close, [runbooks]);
  const [text, setText] = useState("");
  const all = runbooks.data.value;
  if (!all) return runbooks.error.value ? <Trouble what="run books" error={runbooks.error.value} /> : <Loading />;
  const shown = all.filter((runbook) => matches(text, runbook.name, runbook.title, ...runbook.alarms.map((alarm) => alarm.name)));
  return (
    <>
      <div class="page-head">
        <h1>Run books</h1>
        <p>What to do when an alarm goes off. Every page links to one.</p>
        <Search value={text} onInput={setText} label="Search run books" />
      </div>
      <Trouble what="run books" error={runbooks.error.value} />
      {all.length === 0 && <Empty>There are no run books yet.</Empty>}
      <ul class="cards">
        {shown.map((runbook) => (
          <li class="card" key={runbook.href}>
            <header>
              <h2>
                <a href={runbook.href}>{runbook.title}</a>
              </h2>
              <span class="aside mono">{runbook.name}</span>
            </header>
            {runbook.missing.length > 0 && (
              <p class="warn-text">
                <Glyph mark="warn" /> lacks: {runbook.missing.join(", ")}
              </p>
            )}
            {runbook.alarms.length === 0 ? (
              <p class="dim">No alarm links to it.</p>
            ) : (
              <ul class="links">
                {runbook.alarms.map((alarm) => (
                  <li key={alarm.id}>
                    <Glyph mark={markOfAlarm(alarm.state, alarm.severity)} label={STATE_WORDS[alarm.state]} /> <a href={alarm.href}>{alarm.name}</a>
                  </li>
                ))}
              </ul>
            )}
          </li>
        ))}
      </ul>
    </>
  );
}
