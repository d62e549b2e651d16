// Reading and changing things through the own API, and staying up to date without a reload.
import { type Signal, signal } from "@preact/signals";
import type { ChangeNotice } from "./api.gen";

const BASE = "/api/watchbell/v1/";
/** Figures that no notice speaks of (latency, host) are read again this often; also the fallback without events. */
const POLL_MS = 10_000;
/** Notices come in bursts: one read for all that arrive within this time. */
const SETTLE_MS = 150;

/** Whether the page is up to date. */
export const link = signal<"live" | "polling" | "offline">("polling");

export class Refused extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

/** What is said of a call that failed. */
export function words(problem: unknown): string {
  return problem instanceof Error ? problem.message : String(problem);
}

/** Calls the own API; a session that ended leads to the sign-in page. */
export async function call<T>(path: string, init?: RequestInit): Promise<T> {
  const answer = await fetch(path.startsWith("/") ? path : BASE + path, {
    credentials: "same-origin",
    headers: init?.body ? { "content-type": "application/json" } : {},
    ...init,
  });
  if (answer.status === 401) {
    location.assign(`/signin?next=${encodeURIComponent(location.pathname + location.search)}`);
  }
  const text = await answer.text();
  if (!answer.ok) {
    let message = `${answer.status} ${answer.statusText}`;
    try {
      message = JSON.parse(text).error ?? message;
    } catch {
      // Not ours: a proxy in between answered.
    }
    throw new Refused(answer.status, message);
  }
  return (text ? JSON.parse(text) : undefined) as T;
}

export interface Resource<T> {
  data: Signal<T | undefined>;
  error: Signal<string | undefined>;
  /** Reads again now. */
  refresh(): Promise<void>;
  /** Stops following changes. */
  close(): void;
}

interface Follower {
  topics: string[];
  refresh(): Promise<void>;
}

const followers = new Set<Follower>();

/** A document of the API that is read again whenever one of the topics changes. */
export function follow<T>(path: string, topics: string[], first?: T): Resource<T> {
  const data = signal<T | undefined>(first);
  const error = signal<string | undefined>(undefined);
  let running: Promise<void> | undefined;
  let again = false;
  const read = async (): Promise<void> => {
    try {
      data.value = await call<T>(path);
      error.value = undefined;
    } catch (problem) {
      error.value = words(problem);
    }
  };
  const refresh = (): Promise<void> => {
    if (running) {
      again = true;
      return running;
    }
    running = read().finally(() => {
      running = undefined;
      if (again) {
        again = false;
        void refresh();
      }
    });
    return running;
  };
  const follower = { topics, refresh };
  followers.add(follower);
  void refresh();
  return { data, error, refresh, close: () => followers.delete(follower) };
}

const waiting = new Set<string>();
let settle: number | undefined;

function notice(topics: string[]): void {
  for (const topic of topics) waiting.add(topic);
  settle ??= window.setTimeout(() => {
    settle = undefined;
    const changed = [...waiting];
    waiting.clear();
    for (const follower of followers) {
      if (follower.topics.some((topic) => changed.includes(topic))) void follower.refresh();
    }
  }, SETTLE_MS);
}

function refreshAll(): void {
  for (const follower of followers) void follower.refresh();
}

let stream: EventSource | undefined;
let leaving: number | undefined;

/** Opens the one event stream; polls beside it. */
export function connect(): void {
  stream?.close();
  const events = new EventSource(`${BASE}events`);
  stream = events;
  events.addEventListener("open", () => {
    link.value = "live";
    refreshAll();
  });
  events.addEventListener("change", (event) => {
    notice((JSON.parse((event as MessageEvent<string>).data) as ChangeNotice).topics);
  });
  events.addEventListener("error", () => {
    link.value = navigator.onLine ? "polling" : "offline";
    // A refused stream is not opened again by the browser.
    if (events.readyState === EventSource.CLOSED && stream === events) window.setTimeout(connect, POLL_MS);
  });
}

function disconnect(): void {
  stream?.close();
  stream = undefined;
}

window.setInterval(() => {
  if (!document.hidden) refreshAll();
}, POLL_MS);
// A browser opens few connections to one host: pages that nobody looks at must not hold them all.
document.addEventListener("visibilitychange", () => {
  window.clearTimeout(leaving);
  if (document.hidden) {
    leaving = window.setTimeout(disconnect, POLL_MS);
    return;
  }
  refreshAll();
  if (!stream) connect();
});
addEventListener("pagehide", disconnect);
addEventListener("pageshow", (event) => {
  if (event.persisted) connect();
});
addEventListener("offline", () => {
  link.value = "offline";
});
addEventListener("online", refreshAll);

