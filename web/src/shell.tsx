// What stands around every page: the head, the ways to other pages, the keys.
import { signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { link } from "./api";
import type { Overview } from "./api.gen";
import { Glyph, type Mark, markOfAlarm, markOfHeartbeat, matches } from "./parts";
import { go, route } from "./route";

interface Place {
  href: string;
  name: string;
  key: string;
  icon: string;
}

export const PLACES: Place[] = [
  { href: "/", name: "Overview", key: "o", icon: "M2.5 8.5 8 3l5.5 5.5M4 7.5V13h8V7.5" },
  { href: "/alarms", name: "Alarms", key: "a", icon: "M8 2.5 14 13H2ZM8 6.5v3M8 11.2v.3" },
  { href: "/monitors", name: "Monitors", key: "m", icon: "M1.5 8.5h3l2-5 3 9 2-4h3" },
  { href: "/heartbeats", name: "Heartbeats", key: "h", icon: "M8 13.2 3.2 8.4a3 3 0 0 1 4.2-4.2l.6.6.6-.6a3 3 0 0 1 4.2 4.2Z" },
  { href: "/targets", name: "Targets", key: "t", icon: "M8 2a6 6 0 1 1 0 12A6 6 0 0 1 8 2ZM8 5.2a2.8 2.8 0 1 1 0 5.6 2.8 2.8 0 0 1 0-5.6ZM8 8h.01" },
  { href: "/alerts", name: "Alerts", key: "l", icon: "M4 11V7.2a4 4 0 0 1 8 0V11l1.2 1.2H2.8ZM6.6 14h2.8" },
  { href: "/deliveries", name: "Deliveries", key: "d", icon: "M2 8 14 2.5 11 13.5 7.6 9.6ZM7.6 9.6 14 2.5" },
  { href: "/status-pages", name: "Status", key: "s", icon: "M2 3h12v10H2ZM4.5 10.5v-3M8 10.5V6M11.5 10.5v-2" },
  { href: "/runbooks", name: "Run books", key: "r", icon: "M8 3.6C6.4 2.4 4.3 2.2 2 2.6v10c2.3-.4 4.4-.2 6 1 1.6-1.2 3.7-1.4 6-1v-10c-2.3-.4-4.4-.2-6 1Zm0 0v10" },
];

const dialog = signal<"none" | "jump" | "keys">("none");

function isHere(href: string): boolean {
  const path = route.value.path;
  return href === "/" ? path === "/" : path === href || path.startsWith(`${href}/`);
}

function Icon({ path }: { path: string }) {
  return (
    <svg class="icon" width="16" height="16" viewBox="0 0 16 16" aria-hidden="true">
      <path d={path} />
    </svg>
  );
}

export function Bell() {
  return (
    <svg class="bell" width="22" height="22" viewBox="0 0 22 22" aria-hidden="true">
      <path d="M11 2.2v1.6M5 15V9.8a6 6 0 0 1 12 0V15l1.8 2H3.2ZM9 19.4h4" />
    </svg>
  );
}

async function signOut(): Promise<void> {
  await fetch("/signout", { method: "POST", credentials: "same-origin" });
  location.assign("/signin");
}

export function Shell({ overview, children }: { overview: Overview | undefined; children: ComponentChildren }) {
  const wrong = overview?.wrong.length ?? 0;
  return (
    <>
      <a class="skip" href="#main">
        Skip to the content
      </a>
      <header class="top">
        <a class="brand" href="/" aria-label="watchbell, overview">
          <Bell />
          <span>{overview?.site.name || "watchbell"}</span>
        </a>
        <nav aria-label="Pages" class="places">
          {PLACES.map((place) => (
            <a key={place.href} href={place.href} aria-current={isHere(place.href) ? "page" : undefined} title={`g ${place.key}`}>
              <Icon path={place.icon} />
              <span>{place.name}</span>
              {place.href === "/alarms" && wrong > 0 && <span class="count">{wrong}</span>}
            </a>
          ))}
        </nav>
        <span class="grow" />
        <span class={`link ${link.value}`} role="status">
          <i aria-hidden="true" />
          {link.value === "live" ? "Live" : link.value === "polling" ? "Every 10 s" : "Offline"}
        </span>
        <button type="button" class="ghost jump" onClick={() => (dialog.value = "jump")} aria-label="Jump to anything">
          <Icon path="M7 2.5a4.5 4.5 0 1 1 0 9 4.5 4.5 0 0 1 0-9ZM10.4 10.4 14 14" />
          <kbd>/</kbd>
        </button>
        <button type="button" class="ghost" onClick={signOut}>
          Sign out
        </button>
      </header>
      <main id="main" tabIndex={-1}>
        {children}
      </main>
      {dialog.value === "jump" && <Jump overview={overview} />}
      {dialog.value === "keys" && <Keys />}
    </>
  );
}

function Dialog({ label, children }: { label: string; children: ComponentChildren }) {
  const box = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    box.current?.showModal();
  }, []);
  return (
    <dialog
      ref={box}
      aria-label={label}
      onClose={() => (dialog.value = "none")}
      onClick={(event) => {
        if (event.target === box.current) box.current?.close();
      }}
    >
      {children}
    </dialog>
  );
}

interface Target {
  href: string;
  name: string;
  what: string;
  mark: Mark | undefined;
}

function Jump({ overview }: { overview: Overview | undefined }) {
  const [text, setText] = useState("");
  const [at, setAt] = useState(0);
  const all = useMemo<Target[]>(() => {
    const wrong = (overview?.wrong ?? []).map((alarm) => ({
      href: alarm.href,
      name: alarm.name,
      what: alarm.reason,
      mark: markOfAlarm(alarm.state, alarm.severity),
    }));
    const monitors = (overview?.monitors ?? []).map((monitor) => ({
      href: monitor.href,
      name: monitor.name,
      what: `monitor ${monitor.target}`,
      mark: markOfAlarm(monitor.state, monitor.severity),
    }));
    const heartbeats = (overview?.heartbeats ?? []).map((heartbeat) => ({
      href: heartbeat.href,
      name: heartbeat.name,
      what: "heartbeat",
      mark: markOfHeartbeat(heartbeat.state),
    }));
    const places = PLACES.map((place) => ({ href: place.href, name: place.name, what: "page", mark: undefined }));
    const seen = new Set<string>();
    return [...wrong, ...monitors, ...heartbeats, ...places].filter((target) => {
      if (seen.has(target.href)) return false;
      seen.add(target.href);
      return true;
    });
  }, [overview]);
  const found = all.filter((target) => matches(text, target.name, target.what)).slice(0, 12);
  const open = (target: Target | undefined) => {
    if (!target) return;
    dialog.value = "none";
    go(target.href);
  };
  return (
    <Dialog label="Jump to">
      <input
        class="search"
        type="text"
        list={undefined}
        placeholder="Jump to a monitor, heartbeat, alarm or page"
        aria-label="Jump to"
        role="combobox"
        aria-expanded="true"
        aria-controls="targets"
        autoFocus
        value={text}
        onInput={(event) => {
          setText(event.currentTarget.value);
          setAt(0);
        }}
        onKeyDown={(event) => {
          if (event.key === "ArrowDown") setAt(Math.min(at + 1, found.length - 1));
          else if (event.key === "ArrowUp") setAt(Math.max(at - 1, 0));
          else if (event.key === "Enter") open(found[at]);
          else return;
          event.preventDefault();
        }}
      />
      <ul id="targets" class="targets" role="listbox">
        {found.map((target, index) => (
          <li key={target.href} role="option" aria-selected={index === at} onClick={() => open(target)} onMouseMove={() => setAt(index)}>
            {target.mark ? <Glyph mark={target.mark} /> : <span class="glyph" />}
            <b>{target.name}</b>
            <span>{target.what}</span>
          </li>
        ))}
        {found.length === 0 && <li class="empty">Nothing is called that.</li>}
      </ul>
    </Dialog>
  );
}

function Keys() {
  return (
    <Dialog label="Keys">
      <h2>Keys</h2>
      <dl class="keys">
        {PLACES.map((place) => (
          <div key={place.key}>
            <dt>
              <kbd>g</kbd> <kbd>{place.key}</kbd>
            </dt>
            <dd>{place.name}</dd>
          </div>
        ))}
        <div>
          <dt>
            <kbd>/</kbd>
          </dt>
          <dd>Search the list, or jump to anything</dd>
        </div>
        <div>
          <dt>
            <kbd>Esc</kbd>
          </dt>
          <dd>Close</dd>
        </div>
      </dl>
    </Dialog>
  );
}

/** `g` waits this long for its second key. */
const CHORD_MS = 1200;
let chord: number | undefined;

export function listenToKeys(): void {
  document.addEventListener("keydown", (event) => {
    const target = event.target as HTMLElement;
    if (event.metaKey || event.ctrlKey || event.altKey || target.closest("input, textarea, select, dialog")) return;
    if (chord !== undefined) {
      window.clearTimeout(chord);
      chord = undefined;
      const place = PLACES.find((place) => place.key === event.key);
      if (place) {
        event.preventDefault();
        go(place.href);
      }
      return;
    }
    if (event.key === "g") {
      chord = window.setTimeout(() => (chord = undefined), CHORD_MS);
    } else if (event.key === "/") {
      event.preventDefault();
      const search = document.querySelector<HTMLInputElement>("[data-search]");
      if (search) search.focus();
      else dialog.value = "jump";
    } else if (event.key === "?") {
      dialog.value = "keys";
    }
  });
}
