// The small pieces every page is made of. A state is told by colour and by shape, never by colour alone.
import type { ComponentChildren, JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { AlarmState, HeartbeatState, RunbookLink } from "./api.gen";
import { clock, full, now, percent, relative, span } from "./time";

export type Mark = "ok" | "alarm" | "warn" | "none" | "paused" | "run";

export function markOfAlarm(state: AlarmState, severity = "critical"): Mark {
  if (state === "OK") return "ok";
  if (state === "INSUFFICIENT_DATA") return "none";
  return severity === "critical" ? "alarm" : "warn";
}

export function markOfHeartbeat(state: HeartbeatState): Mark {
  return ({ up: "ok", down: "alarm", late: "warn", new: "none", paused: "paused" } as const)[state];
}

export const STATE_WORDS: Record<AlarmState, string> = {
  OK: "OK",
  ALARM: "In alarm",
  INSUFFICIENT_DATA: "Not enough data",
};

const SHAPES: Record<Mark, JSX.Element> = {
  ok: (
    <>
      <circle class="fill" cx="8" cy="8" r="6.5" />
      <path class="cut" d="M5 8.2 7.2 10.4 11 6" />
    </>
  ),
  alarm: (
    <>
      <path class="fill" d="M8 1.2 15.2 14.2H.8Z" stroke-linejoin="round" />
      <path class="cut" d="M8 6v3.6M8 11.6v.4" />
    </>
  ),
  warn: (
    <>
      <path class="fill" d="M8 .8 15.2 8 8 15.2.8 8Z" stroke-linejoin="round" />
      <path class="cut" d="M8 4.8v3.8M8 10.8v.4" />
    </>
  ),
  none: <circle class="ring dashed" cx="8" cy="8" r="6" />,
  paused: (
    <>
      <circle class="ring" cx="8" cy="8" r="6.2" />
      <path class="line" d="M6.2 5.6v4.8M9.8 5.6v4.8" />
    </>
  ),
  run: (
    <>
      <circle class="ring" cx="8" cy="8" r="6.2" />
      <path class="fill" d="M6.4 5.2 11 8l-4.6 2.8Z" />
    </>
  ),
};

export function Glyph({ mark, label, size = 16 }: { mark: Mark; label?: string; size?: number }) {
  return (
    <svg
      class={`glyph ${mark}`}
      width={size}
      height={size}
      viewBox="0 0 16 16"
      role={label ? "img" : undefined}
      aria-label={label}
      aria-hidden={label ? undefined : "true"}
    >
      {SHAPES[mark]}
    </svg>
  );
}

/** A moment relative to now, the whole of it in the tooltip. */
export function Ago({ at, bare }: { at: string; bare?: boolean }) {
  const words = relative(at, now.value);
  return (
    <time dateTime={at} title={full(at)}>
      {bare ? words.replace(/^in | ago$/g, "") : words}
    </time>
  );
}

/** `for 12 min, since 03:12`. */
export function Since({ at }: { at: string }) {
  return (
    <time dateTime={at} title={full(at)}>
      for <b>{span((now.value - Date.parse(at)) / 1000)}</b>, since {clock(at, now.value)}
    </time>
  );
}

export function RunbookButton({ link, quiet }: { link: RunbookLink | null | undefined; quiet?: boolean }) {
  if (!link) return null;
  const away = !link.href.startsWith("/");
  return (
    <a class={quiet ? "runbook-link" : "button primary"} href={link.href} rel={away ? "noreferrer" : undefined} title={`Run book: ${link.name}`}>
      <svg width="16" height="16" viewBox="0 0 16 16" aria-hidden="true" class="icon">
        <path d="M8 3.6C6.4 2.4 4.3 2.2 2 2.6v10c2.3-.4 4.4-.2 6 1 1.6-1.2 3.7-1.4 6-1v-10c-2.3-.4-4.4-.2-6 1Zm0 0v10" />
      </svg>
      {quiet ? <span class="sr">Run book {link.name}</span> : "Open run book"}
    </a>
  );
}

/** Availability of the last day, a bar per half hour. A failed half hour is taller as well as red. */
export function Bars({ values, name }: { values: (number | null)[]; name: string }) {
  const known = values.filter((value) => value !== null);
  const failed = known.filter((value) => value < 1).length;
  const label = known.length
    ? `${name}, last 24 hours: ${failed === 0 ? "every probe succeeded" : `failures in ${failed} of ${known.length} half hours`}`
    : `${name}: nothing probed in the last 24 hours`;
  const step = 5;
  return (
    <svg class="bars" viewBox={`0 0 ${values.length * step} 24`} preserveAspectRatio="none" role="img" aria-label={label}>
      {values.map((value, at) => {
        const x = at * step;
        const hours = (values.length - at) / 2;
        const title = `${hours <= 0.5 ? "this half hour" : `${hours} h ago`}: ${value === null ? "nothing probed" : percent(value)}`;
        if (value === null) {
          return (
            <rect key={at} class="gap" x={x} y="17" width="3.4" height="3">
              <title>{title}</title>
            </rect>
          );
        }
        if (value === 1) {
          return (
            <rect key={at} class="good" x={x} y="6" width="3.4" height="14" rx="1">
              <title>{title}</title>
            </rect>
          );
        }
        // Even one failed probe must be seen.
        const bad = Math.max(0.25, 1 - value) * 22;
        return (
          <g key={at}>
            <rect class="good" x={x} y="2" width="3.4" height="18" rx="1" />
            <rect class="bad" x={x} y="1" width="3.4" height={bad} rx="1">
              <title>{title}</title>
            </rect>
          </g>
        );
      })}
    </svg>
  );
}

/** A small chart: an area whose height is a share of `max`. */
export function Spark({ values, max, label }: { values: (number | null)[]; max: number; label: string }) {
  const width = 240;
  const height = 56;
  const x = (at: number) => (at / Math.max(1, values.length - 1)) * width;
  const y = (value: number) => height - 2 - Math.min(1, value / max) * (height - 6);
  const runs: [number, number][][] = [];
  let run: [number, number][] | undefined;
  values.forEach((value, at) => {
    if (value === null) {
      run = undefined;
      return;
    }
    if (!run) runs.push((run = []));
    run.push([x(at), y(value)]);
  });
  return (
    <svg class="spark" viewBox={`0 0 ${width} ${height}`} preserveAspectRatio="none" role="img" aria-label={label}>
      {[0.5, 1].map((share) => (
        <line key={share} class="grid" x1="0" x2={width} y1={y(max * share)} y2={y(max * share)} />
      ))}
      {runs.map((points) => {
        const line = points.map(([px, py]) => `${px.toFixed(1)},${py.toFixed(1)}`).join(" ");
        const first = points[0];
        const last = points.at(-1);
        if (!first || !last) return null;
        if (points.length === 1) return <circle key={first[0]} class="dot" cx={first[0]} cy={first[1]} r="2" />;
        return (
          <g key={first[0]}>
            <polygon class="area" points={`${first[0].toFixed(1)},${height} ${line} ${last[0].toFixed(1)},${height}`} />
            <polyline class="stroke" points={line} />
          </g>
        );
      })}
    </svg>
  );
}

export function Section({
  title,
  aside,
  href,
  id,
  children,
}: {
  title: string;
  aside?: ComponentChildren;
  href?: string;
  id?: string;
  children: ComponentChildren;
}) {
  return (
    <section class="section" aria-labelledby={id ?? title.replace(/\W+/g, "-")}>
      <header>
        <h2 id={id ?? title.replace(/\W+/g, "-")}>{href ? <a href={href}>{title}</a> : title}</h2>
        {aside && <span class="aside">{aside}</span>}
      </header>
      {children}
    </section>
  );
}

export function Empty({ children }: { children: ComponentChildren }) {
  return <p class="empty">{children}</p>;
}

export function Trouble({ what, error }: { what: string; error: string | undefined }) {
  if (!error) return null;
  return (
    <p class="notice warn" role="alert">
      <Glyph mark="warn" /> Cannot read {what}: {error}
    </p>
  );
}

/** Says that something is on its way; only after a while, so that a quick answer does not flicker. */
export function Loading() {
  return <p class="loading">Reading…</p>;
}

/** A text to take away. */
export function Copy({ text, label }: { text: string; label: string }) {
  const [done, setDone] = useState(false);
  const box = useRef<HTMLElement>(null);
  useEffect(() => {
    if (!done) return;
    const timer = setTimeout(() => setDone(false), 1600);
    return () => clearTimeout(timer);
  }, [done]);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setDone(true);
    } catch {
      // No clipboard without https: select it, so that the person can.
      const range = document.createRange();
      if (box.current) {
        range.selectNodeContents(box.current);
        getSelection()?.removeAllRanges();
        getSelection()?.addRange(range);
      }
    }
  };
  return (
    <span class="copy">
      <code ref={box}>{text}</code>
      <button type="button" class="ghost" onClick={copy} aria-label={`Copy ${label}`}>
        {done ? "Copied" : "Copy"}
      </button>
    </span>
  );
}

/** Labels as chips; `alertname` and what is said elsewhere left out. */
export function LabelChips({ labels, without = [] }: { labels: Record<string, string>; without?: string[] }) {
  const shown = Object.entries(labels).filter(([name]) => name !== "alertname" && !without.includes(name));
  if (shown.length === 0) return null;
  return (
    <span class="chips">
      {shown.map(([name, text]) => (
        <span class="chip" key={name}>
          <i>{name}</i> {text}
        </span>
      ))}
    </span>
  );
}

export function SeverityTag({ severity }: { severity: string }) {
  return <span class={`severity ${severity === "critical" || severity === "warning" ? severity : "info"}`}>{severity || "no severity"}</span>;
}

/** A search field over the list below it; the key `/` leads to it. */
export function Search({ value, onInput, label }: { value: string; onInput: (text: string) => void; label: string }) {
  return (
    <input
      class="search"
      type="search"
      placeholder={label}
      aria-label={label}
      value={value}
      data-search
      onInput={(event) => onInput(event.currentTarget.value)}
      onKeyDown={(event) => {
        if (event.key === "Escape") event.currentTarget.blur();
      }}
    />
  );
}

export function matches(text: string, ...fields: (string | null | undefined)[]): boolean {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const all = fields.join(" ").toLowerCase();
  return words.every((word) => all.includes(word));
}

/** The end of a form: why it was refused, the button that sends it, the way out. */
export function FormEnd({ error, does, onCancel }: { error: string; does: string; onCancel: () => void }) {
  return (
    <>
      {error && (
        <p class="bad-text" role="alert">
          {error}
        </p>
      )}
      <div class="do">
        <button type="submit" class="button primary">
          {does}
        </button>
        <button type="button" class="button" onClick={onCancel}>
          Cancel
        </button>
      </div>
    </>
  );
}
