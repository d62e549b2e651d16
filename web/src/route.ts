// Which page is shown. Links are plain links; those to pages of this script are followed without a load.
import { signal } from "@preact/signals";

export interface Route {
  path: string;
  query: URLSearchParams;
}

function current(): Route {
  return { path: location.pathname, query: new URLSearchParams(location.search) };
}

export const route = signal<Route>(current());

const OWN = [
  "/", "/alarms", "/monitors", "/heartbeats", "/targets", "/alerts", "/deliveries", "/previews", "/status-pages", "/runbooks",
];

/** Whether this script shows the page; run books and signing in are pages of the server. */
function isOwn(path: string): boolean {
  return OWN.includes(path) || path.startsWith("/alarms/");
}

export function go(href: string): void {
  const url = new URL(href, location.href);
  if (url.origin !== location.origin || !isOwn(url.pathname)) {
    location.assign(url);
    return;
  }
  history.pushState(null, "", url);
  route.value = current();
  scrollTo(0, 0);
}

/** Changes the query of the page that is shown; `null` takes a name out. */
export function setQuery(changes: Record<string, string | null>): void {
  const url = new URL(location.href);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === "") url.searchParams.delete(name);
    else url.searchParams.set(name, value);
  }
  history.replaceState(null, "", url);
  route.value = current();
}

addEventListener("popstate", () => {
  route.value = current();
});

document.addEventListener("click", (event) => {
  if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const link = (event.target as Element | null)?.closest?.("a");
  if (!link || link.target || link.hasAttribute("download")) return;
  const url = new URL(link.href, location.href);
  if (url.origin !== location.origin || !isOwn(url.pathname)) return;
  event.preventDefault();
  go(url.href);
});
