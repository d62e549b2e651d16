// Every monitor with its last day.
import { useState } from "preact/hooks";
import type { Overview } from "../api.gen";
import { Empty, Search, matches } from "../parts";
import { span } from "../time";
import { MonitorRow } from "./overview";

/** A certificate with less left than this is worth a word in the list. */
const CERTIFICATE_SOON_S = 21 * 86400;

export function MonitorsPage({ overview }: { overview: Overview }) {
  const [text, setText] = useState("");
  const shown = overview.monitors.filter((monitor) => matches(text, monitor.name, monitor.target, monitor.state));
  const soon = overview.monitors
    .filter((monitor) => monitor.certificate_expires_in !== null && monitor.certificate_expires_in < CERTIFICATE_SOON_S)
    .sort((a, b) => (a.certificate_expires_in ?? 0) - (b.certificate_expires_in ?? 0));
  return (
    <>
      <div class="page-head">
        <h1>Monitors</h1>
        <p>Services probed from here. Bars are the last 24 hours, half an hour each; then the last probe and the availability.</p>
        <Search value={text} onInput={setText} label="Search monitors" />
      </div>
      {soon.length > 0 && (
        <p class="notice warn">
          Certificates that end soon:{" "}
          {soon.map((monitor, at) => (
            <span key={monitor.name}>
              {at > 0 && ", "}
              <a href={monitor.href.replace("/alarms/monitor/", "/alarms/certificate/")}>{monitor.name}</a> in {span(monitor.certificate_expires_in ?? 0)}
            </span>
          ))}
        </p>
      )}
      {overview.monitors.length === 0 ? (
        <Empty>
          Nothing is probed yet. Add a service under <code>monitors:</code> in watchbell.yml.
        </Empty>
      ) : (
        <ul class="rows monitors panel">
          {shown.map((monitor) => (
            <MonitorRow key={monitor.name} monitor={monitor} />
          ))}
          {shown.length === 0 && <li class="empty">No monitor is called that.</li>}
        </ul>
      )}
    </>
  );
}
