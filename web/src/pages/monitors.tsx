// Every monitor with its last day.
import { useEffect, useMemo, useState } from "preact/hooks";
import { follow } from "../api";
import type { Overview, PlaceStatus } from "../api.gen";
import { Ago, Empty, Glyph, Search, Section, matches } from "../parts";
import { span } from "../time";
import { MonitorRow } from "./overview";

/** A certificate with less left than this is worth a word in the list. */
const CERTIFICATE_SOON_S = 21 * 86400;

const MARKS = { here: "ok", heard: "ok", expected: "none", silent: "alarm" } as const;
const WORDS = { here: "this watchbell", heard: "heard", expected: "not heard yet", silent: "silent" };

/** Where monitors are probed from, if that is not here alone. */
function Places() {
  const places = useMemo(() => follow<PlaceStatus[]>("places", ["alarms"]), []);
  useEffect(() => places.close, [places]);
  const all = places.data.value ?? [];
  if (all.length < 2) return null;
  return (
    <Section title="Places" aside={`${all.length} places`}>
      <ul class="rows contributors">
        {all.map((place) => (
          <li class="row" key={place.name}>
            <Glyph mark={MARKS[place.state]} label={WORDS[place.state]} />
            <span class="name">
              <b>{place.name}</b>
              <span>
                {[
                  WORDS[place.state],
                  place.version && `version ${place.version}`,
                  place.lag >= 10 && `${span(place.lag)} behind`,
                  place.dropped > 0 && `${place.dropped} results dropped`,
                  Math.abs(place.clock_ahead ?? 0) >= 1 && `clock ${span(Math.abs(place.clock_ahead ?? 0))} off`,
                  place.own_network,
                  place.refused.length > 0 && `cannot probe ${place.refused.map((it) => it.monitor).join(", ")}`,
                ]
                  .filter(Boolean)
                  .join(", ")}
                {place.heard_at && (
                  <>
                    , heard <Ago at={place.heard_at} />
                  </>
                )}
              </span>
            </span>
            <span class="num">{place.monitors} monitors</span>
          </li>
        ))}
      </ul>
    </Section>
  );
}

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
      <Places />
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
