// The UI starts here.
import { render } from "preact";
import { useEffect } from "preact/hooks";
import { connect, follow } from "./api";
import type { Overview } from "./api.gen";
import { Loading, Trouble } from "./parts";
import { route } from "./route";
import { AlarmPage } from "./pages/alarm";
import { AlarmsPage } from "./pages/alarms";
import { AlertsPage } from "./pages/alerts";
import { DeliveriesPage } from "./pages/deliveries";
import { HeartbeatsPage } from "./pages/heartbeats";
import { MonitorsPage } from "./pages/monitors";
import { ConfigBanner, OverviewPage } from "./pages/overview";
import { PreviewsPage } from "./pages/previews";
import { RunbooksPage } from "./pages/runbooks";
import { StatusPagesPage } from "./pages/status";
import { TargetsPage } from "./pages/targets";
import { Shell, listenToKeys } from "./shell";
import { sync } from "./time";

/** The overview as it was when the server wrote the page, so that it shows before the first answer. */
function firstOverview(): Overview | undefined {
  const text = document.getElementById("first")?.textContent;
  return text ? (JSON.parse(text) as Overview) : undefined;
}

const overview = follow<Overview>("overview", ["alarms", "heartbeats", "alerts", "outbox", "config"], firstOverview());

function title(path: string): string {
  const place = path === "/" ? "" : decodeURIComponent(path.replace(/^\/alarms\//, "").slice(path.startsWith("/alarms/") ? 0 : 1));
  const wrong = overview.data.value?.wrong.length ?? 0;
  const name = overview.data.value?.site.name || "watchbell";
  return `${wrong > 0 ? `▲ ${wrong} wrong · ` : ""}${place ? `${place} · ` : ""}${name}`;
}

/** The mark in the browser's tab says it too. */
function icon(wrong: boolean): void {
  const link = document.querySelector<HTMLLinkElement>("link[rel=icon]");
  const href = wrong ? "/assets/icon-alarm.svg" : "/assets/icon.svg";
  if (link && link.getAttribute("href") !== href) link.setAttribute("href", href);
}

function Page({ path, data }: { path: string; data: Overview | undefined }) {
  if (path.startsWith("/alarms/")) return <AlarmPage key={path} id={decodeURIComponent(path.slice("/alarms/".length))} />;
  if (path === "/alarms") return <AlarmsPage />;
  if (path === "/alerts") return <AlertsPage />;
  if (path === "/deliveries") return <DeliveriesPage />;
  if (path === "/previews") return <PreviewsPage />;
  if (path === "/runbooks") return <RunbooksPage />;
  if (path === "/status-pages") return <StatusPagesPage />;
  if (path === "/targets") return <TargetsPage />;
  if (!data) return overview.error.value ? null : <Loading />;
  if (path === "/monitors") return <MonitorsPage overview={data} />;
  if (path === "/heartbeats") return <HeartbeatsPage overview={data} />;
  return <OverviewPage overview={data} />;
}

function App() {
  const path = route.value.path;
  const data = overview.data.value;
  useEffect(() => {
    if (data) sync(data.now);
  }, [data]);
  useEffect(() => {
    document.title = title(path);
    icon((data?.wrong.length ?? 0) > 0);
  }, [path, data]);
  return (
    <Shell overview={data}>
      <Trouble what="the overview" error={overview.error.value} />
      {path !== "/" && data && <ConfigBanner overview={data} />}
      <Page path={path} data={data} />
    </Shell>
  );
}

const app = document.getElementById("app");
if (app) {
  app.replaceChildren();
  render(<App />, app);
  listenToKeys();
  connect();
}
