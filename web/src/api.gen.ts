// Written from the views of crates/watchbell-http/src/api by its tests; `UPDATE_EXPECT=1` writes it again.

/** Somebody said that they see to an alert. It ends with the alert. */
export interface Acknowledgement {
  /** When. */
  at: Timestamp;
  /** Who. */
  by: string;
  /** What they said, if anything. */
  comment?: string;
}

/** An alarm in a list. */
export interface Alarm {
  /** The last judgement's error, if it failed. */
  error: string | null;
  /** How many label sets are firing. */
  firing: number;
  /** Its page. */
  href: string;
  /** Its name for ever, such as `monitor/imap`. */
  id: string;
  /** What it judges. */
  kind: AlarmKind;
  /** Whether all its alerts are held back, by a silence, another alert or a time interval. */
  muted: boolean;
  /** What people call it. */
  name: string;
  /** How many label sets wait for the rule's `for`. */
  pending: number;
  /** Why, in words. */
  reason: string;
  /** What to do about it. */
  runbook: RunbookLink | null;
  /** How bad it is. */
  severity: string;
  /** Since when it says so. */
  since: Timestamp;
  /** What it says. */
  state: AlarmState;
}

/** What kind of thing an alarm judges. */
export type AlarmKind = "monitor" | "certificate" | "heartbeat" | "rule" | "composite" | "self";

/** An alarm's page. */
export interface AlarmPage {
  /** As in a list. */
  alarm: Alarm;
  /** The condition, in words or PromQL. */
  condition: string;
  /** What is pending or firing. */
  contributors: Contributor[];
  /** What to draw, the judged series first. */
  graphs: Graph[];
  /** Changes of state, newest first. */
  history: Transition[];
  /** When it was judged last. */
  judged_at: Timestamp | null;
  /** Labels its alerts carry. */
  labels: Record<string, string>;
  /** What each place says of a monitor; empty where it is probed from home alone. */
  places: PlaceVote[];
}

/** What an alarm says of its data. */
export type AlarmState = "OK" | "ALARM" | "INSUFFICIENT_DATA";

/** An alert that fires. */
export interface Alert {
  /** Who sees to it, if anybody does. */
  acknowledged: Acknowledgement | null;
  /** What a person reads next. */
  description: string;
  /** The identity of its label set, in hex. */
  fingerprint: string;
  /** Alerts that hold it back. */
  inhibited_by: string[];
  /** Its identity. */
  labels: Record<string, string>;
  /** Time intervals that hold it back. */
  muted_by: string[];
  /** Its label `alertname`. */
  name: string;
  /** What to do about it. */
  runbook: RunbookLink | null;
  /** How bad it is. */
  severity: string;
  /** Silences that hold it back. */
  silenced_by: string[];
  /** The page of what raised it; http and https only. */
  source_href: string | null;
  /** Since when. */
  starts_at: Timestamp;
  /** Whether anybody is told. */
  state: AlertState;
  /** What a person reads first. */
  summary: string;
  /** What was said of its page already. */
  verdict: Verdict | null;
}

/** Alerts of one group of one receiver. */
export interface AlertGroup {
  /** What is in it, longest first. */
  alerts: Alert[];
  /** What the group is grouped by. */
  labels: Record<string, string>;
  /** Who is told. */
  receiver: string;
}

/** Whether anybody is told of an alert. */
export type AlertState = "active" | "suppressed";

/** What the configuration says of a heartbeat's alerts; Healthchecks has no words for it. */
export interface Alerting {
  /** Names of monitors without which the job cannot report. */
  depends_on: string[];
  /** Labels of its alerts. */
  labels: Record<string, string>;
  /** The run book that is named, if one is. */
  runbook: string | null;
  /** How bad it is when the job is silent or fails. */
  severity: Severity;
}

/** A status page as it stands. */
export interface Board {
  /** A few words under it. */
  description: string;
  /** What it shows. */
  groups: BoardGroup[];
  /** Whether what was could be read; without it there are no days and no figures. */
  history_known: boolean;
  /** Incidents that are not over, then some that are, the latest first. */
  incidents: BoardIncident[];
  /** Maintenance that is under way or will be soon. */
  maintenance: BoardMaintenance[];
  /** The last part of its address. */
  name: string;
  /** When that was so. */
  now: Timestamp;
  /** The worst of what it shows. */
  state: Health;
  /** The same in words. */
  summary: string;
  /** Whose days these are. */
  time_zone: string;
  /** What stands on top. */
  title: string;
}

/** A day of something. */
export interface BoardDay {
  /** Which, such as `2026-11-22`. */
  date: string;
  /** For how many minutes it was down. */
  down_minutes: number;
  /** Of how many minutes it is known whether it worked. */
  known_minutes: number;
  /** How many minutes it was in maintenance. */
  maintenance_minutes: number;
  /** What it is called. */
  state: DayState;
  /** The share of known minutes in which it worked, 0 to 1. */
  up: number | null;
}

/** Things that belong together. */
export interface BoardGroup {
  /** What is in it. */
  items: BoardItem[];
  /** What people call them. */
  name: string;
  /** The worst of them. */
  state: Health;
}

/** An incident as a page shows it. */
export interface BoardIncident {
  /** What it is about, as the page calls it. */
  affects: string[];
  /** Names it for ever. */
  id: string;
  /** How much of it people feel. */
  impact: Impact;
  /** Since when it is told. */
  opened_at: Timestamp;
  /** Since when it is over. */
  resolved_at: Timestamp | null;
  /** How far people are with it. */
  stage: Stage;
  /** What it is about. */
  title: string;
  /** What was said, latest first. */
  updates: BoardUpdate[];
}

/** One thing that works or does not. */
export interface BoardItem {
  /** When its certificate ends, if it has one and the page may say so. */
  certificate_ends_at: Timestamp | null;
  /** Day by day, oldest first, the last of them today. */
  days: BoardDay[];
  /** A few words under it. */
  description: string;
  /** Its name in addresses of badges. */
  id: string;
  /** How long the last probe took, in seconds, if the page may say so. */
  latency: number | null;
  /** What people call it. */
  name: string;
  /** What the last probe saw, if it is down and the page may say so. */
  reason: string | null;
  /** Since when it works or does not. */
  since: Timestamp | null;
  /** How it is. */
  state: Health;
  /** The share of the time in which it worked. */
  uptime: Figure[];
}

/** Maintenance as a page shows it. */
export interface BoardMaintenance {
  /** What it is about, as the page calls it. */
  affects: string[];
  /** When it begins; nothing if it is under way. */
  from: Timestamp | null;
  /** When it ends, where that can be said. */
  until: Timestamp | null;
}

/** What was said of an incident. */
export interface BoardUpdate {
  /** When. */
  at: Timestamp;
  /** How far people were. */
  stage: Stage;
  /** The words. */
  text: string;
}

/** A notice that something changed, sent as a server-sent event. */
export interface ChangeNotice {
  /** What to read again: `alarms`, `heartbeats`, `alerts`, `outbox`, `config`. */
  topics: string[];
}

/** A channel that pages go through. */
export interface Channel {
  /** When it accepted a page last. */
  accepted_at: Timestamp | null;
  /** Why the last try failed, if it did and none was accepted since. */
  error: string | null;
  /** The receiver it belongs to and its own kind, such as `on-call/ntfy`. */
  name: string;
  /** How many pages wait for it. */
  queued: number;
}

/** A small chart: evenly spaced values up to now. */
export interface Chart {
  /** Seconds between two values. */
  step: number;
  /** Oldest first; null where nothing is known. */
  values: (number | null)[];
}

/** Whether the configuration in use is the one on disk. */
export interface ConfigState {
  /** When the configuration in use was loaded. */
  loaded_at: Timestamp;
  /** Why it was refused: every problem with its place. Warnings of a good one otherwise. */
  problems: string[];
  /** When a later one was refused, if it was. */
  refused_at: Timestamp | null;
}

/** One label set of an alarm that is pending or firing. */
export interface Contributor {
  /** Its alert's labels. */
  labels: Record<string, string>;
  /** Whether it still waits for the rule's `for`. */
  pending: boolean;
  /** Since when the condition holds. */
  since: Timestamp;
  /** The value that was judged last. */
  value: number | null;
}

/** What a day is called. */
export type DayState = "up" | "partly" | "down" | "maintenance" | "unknown";

/** A heartbeat as somebody made it. */
export interface Definition {
  /** Names of receivers, in order; stands on its alerts as the label `channels`. */
  channels?: string[];
  /** What the job does. */
  description?: string;
  /** Likewise, that it went wrong; these go before the others. */
  failure_keywords?: string;
  /** Words are looked for in the text of mails. */
  filter_body?: boolean;
  /** What has none of the words is a failure; otherwise it does not count. */
  filter_default_fail?: boolean;
  /** Words are looked for in what comes with a ping over HTTP. */
  filter_http_body?: boolean;
  /** Words are looked for in the subject of mails. */
  filter_subject?: boolean;
  /** Time allowed on top, and how long a run may take. */
  grace?: string;
  /** Which of the next two counts. */
  kind?: ScheduleKind;
  /** While it is paused, a ping does not set it going again. */
  manual_resume?: boolean;
  /** What people call it; may be empty. */
  name?: string;
  /** Only `POST` counts. */
  post_only?: boolean;
  /** When the job reports. */
  schedule?: string;
  /** Its name in addresses with the ping key; may be empty. */
  slug?: string;
  /** Words, with commas between, that say in a body that the job begins. */
  start_keywords?: string;
  /** Likewise, that it is done. */
  success_keywords?: string;
  /** Words, with spaces between. */
  tags?: string;
  /** How often the job reports. */
  timeout?: string;
  /** Whose clock `schedule` means. */
  zone?: string;
}

/** One try to hand a page to a channel. */
export interface Delivery {
  /** When the try ended. */
  at: Timestamp;
  /** Which try it was, from one. */
  attempt: number;
  /** The channel it went to. */
  channel: string;
  /** What the channel answered, in words. */
  detail: string;
  /** The group that it told of. */
  group: string;
  /** Its number; later ones have higher ones. */
  id: number;
  /** What every try of the page has in common for the provider. */
  key: string;
  /** What became of it. */
  outcome: Outcome;
  /** The number of the page; its other tries have the same. */
  page: number;
  /** When it is tried again, if it is. */
  retry_at: Timestamp | null;
  /** The answer's status, if there was an answer. */
  status: number | null;
  /** The page's title. */
  title: string;
  /** How long the try took, in milliseconds. */
  took_ms: number;
  /** From the writing of the page to the end of the try, in milliseconds. */
  waited_ms: number;
}

/** A discovery as it stands. */
export interface DiscoveryStatus {
  /** Why it failed last, if it did; what it gave before still stands. */
  error: string | null;
  /** What it asks, such as `file`. */
  kind: string;
  /** The `job_name` of its configuration. */
  pool: string;
  /** How many targets it gave last. */
  targets: number;
}

/** How full a file system is. */
export interface DiskUse {
  /** Bytes there are. */
  bytes: number;
  /** Where it is mounted. */
  mountpoint: string;
  /** The share that is used, 0 to 1. */
  used: number;
}

/** A downtime: a known period in which certain alerts page nobody. */
export interface Downtime {
  /** Who made it; empty if it stands in the configuration. */
  by: string;
  /** What it covers, and when. */
  downtime: DowntimeConfig;
  /** When somebody ended it, if somebody did. */
  ended_at: Timestamp | null;
  /** Names it for ever; nothing if it stands in the configuration. */
  id: string | null;
  /** Until when it is in force at least, if it is. */
  in_force_until: Timestamp | null;
  /** When it was made. */
  made_at: Timestamp | null;
  /** When it begins next, where that can be said. */
  next_at: Timestamp | null;
  /** Whether it is in force. */
  state: DowntimeState;
  /** Why. */
  why: string;
}

/** A known period in which certain alerts page nobody: once (`from` and `until`), in time intervals (`during`), or again and again (`cron` and `lasts`). What is still broken when it ends is told of then. */
export interface DowntimeConfig {
  /** When it begins, again and again: `0 3 * * SUN`. */
  cron: string | null;
  /** Names among `time_intervals`: it is in force in any of them. */
  during?: string[];
  /** When it begins, if it is there once: `2026-12-01T22:00`. */
  from: string | null;
  /** How long it lasts then. */
  lasts: string | null;
  /** Which alerts it covers: all of these must hold, such as `service="db"` or `source="monitor/imap"`. */
  matchers: string[];
  /** What it is called; it stands beside the alerts that it covers. */
  name: string;
  /** Whose clock `from`, `until` and `cron` mean: a name such as `Europe/Berlin`, `UTC`, or `Local` for this machine's. */
  time_zone?: string;
  /** When it ends. */
  until: string | null;
}

/** Whether a downtime is in force. */
export type DowntimeState = "active" | "pending" | "over";

/** What was discovered and is not scraped. */
export interface DroppedTarget {
  /** What was known of it before relabelling. */
  discovered: Record<string, string>;
  /** Why it cannot be scraped; not given where relabelling dropped it. */
  error: string | null;
  /** The `job_name` of its configuration. */
  pool: string;
}

/** An alert that people were told of, from its beginning to its end. */
export interface Episode {
  /** Who saw to it first, if anybody did. */
  acknowledged: Acknowledgement | null;
  /** The identity of the alarm that raised it, such as `monitor/imap`; empty if it is not ours. */
  alarm: string;
  /** Until when it fired; nothing while it does. */
  ends_at: Timestamp | null;
  /** The identity of its label set, in hex. */
  fingerprint: string;
  /** Its identity. */
  labels: Record<string, string>;
  /** Its label `alertname`. */
  name: string;
  /** How bad it was. */
  severity: string;
  /** Since when it fired; with the fingerprint it names the episode. */
  starts_at: Timestamp;
  /** What was wrong. */
  summary: string;
  /** When people were told of it first. */
  told_at: Timestamp;
  /** What was said of its page. */
  verdict: Verdict | null;
}

/** The share of a time in which something worked. Time in maintenance, and time of which nothing is known, counts neither way. */
export interface Figure {
  /** Where it begins: a whole hour. */
  from: Timestamp;
  /** Where it ends. */
  to: Timestamp;
  /** 0 to 1; nothing if nothing is known of it. */
  up: number | null;
  /** `24h`, `7d`, `30d` or `90d`. */
  window: string;
}

/** A graph to draw. */
export interface Graph {
  /** The PromQL expression to ask `/api/v1/query_range` for. */
  query: string;
  /** The threshold to draw, in the graph's unit. */
  threshold: number | null;
  /** What it shows, in words. */
  title: string;
  /** `seconds`, `state` (1 is good, 0 is bad) or nothing. */
  unit: string;
}

/** How something is. */
export type Health = "up" | "maintenance" | "unknown" | "degraded" | "down";

/** A heartbeat as it stands. */
export interface Heartbeat {
  /** What the configuration says of its alerts, if it stands there. */
  alerting: Alerting | null;
  /** Whether it stands in the configuration; otherwise a ping or the API made it. */
  configured: boolean;
  /** When it alarms unless a sign of life comes. */
  deadline: Timestamp | null;
  /** What is wanted of it, in Healthchecks' words. */
  definition: Definition;
  /** Time allowed on top, in seconds. */
  grace: number;
  /** The page of its alarm. */
  href: string;
  /** How long the last run took, in seconds, if it reported its start. */
  last_duration: number | null;
  /** The last success or failure. */
  last_ping: Timestamp | null;
  /** What people call it. */
  name: string;
  /** When the next sign of life is due. */
  next_ping: Timestamp | null;
  /** How often the job reports, in seconds; with an expression, the time between two times to come. */
  period: number;
  /** The address the job pings. */
  ping_url: string | null;
  /** What to do when it is silent. */
  runbook: RunbookLink | null;
  /** When the job reports, in words: `every 5m`, or an expression and its time zone. */
  schedule: string;
  /** Whether a run has started and not ended. */
  started: boolean;
  /** Where it stands now. */
  state: HeartbeatState;
  /** The heartbeat's own part of that address. */
  uuid: string;
}

/** Where a heartbeat stands (Healthchecks' words). */
export type HeartbeatState = "new" | "up" | "late" | "down" | "paused";

/** This machine over the last hours. */
export interface Host {
  /** The share of CPU time that was not idle, 0 to 1. */
  cpu: Chart;
  /** File systems, the fullest first. */
  disks: DiskUse[];
  /** Its name. */
  instance: string;
  /** The load over one minute. */
  load: number | null;
  /** The share of memory that is not available, 0 to 1. */
  memory: Chart;
  /** Bytes of memory there are. */
  memory_bytes: number | null;
}

/** How much of it those feel who use what is watched. */
export type Impact = "notice" | "degraded" | "outage";

/** Something that those are told of who use what is watched. */
export interface Incident {
  /** The alarms of what it is about, such as `monitor/imap`. */
  affects: string[];
  /** Names it for ever. */
  id: string;
  /** How much of it people feel. */
  impact: Impact;
  /** When it was told of first. */
  opened_at: Timestamp;
  /** The status pages that show it; all of them if there is none. */
  pages: string[];
  /** When it was over, if it is. */
  resolved_at: Timestamp | null;
  /** How far people are with it. */
  stage: Stage;
  /** What it is about, in a few words. */
  title: string;
  /** What was said, oldest first. */
  updates: IncidentUpdate[];
}

/** What somebody says of an incident. */
export interface IncidentUpdate {
  /** When. */
  at: Timestamp;
  /** Who. Status pages do not show it. */
  by: string;
  /** How far people are. */
  stage: Stage;
  /** For those who use what is watched; an empty line parts paragraphs. */
  text: string;
}

/** What a person says of a page. */
export type Judgement = "true" | "false" | "early" | "late" | "unactionable";

/** A monitor with its last day. */
export interface Monitor {
  /** The share of probes that succeeded in the last 24 hours, 0 to 1. */
  availability: number | null;
  /** The same per half hour, oldest first, 48 of them; null where nothing was probed. */
  bars: (number | null)[];
  /** Seconds until the certificate it shows expires, if it shows one. */
  certificate_expires_in: number | null;
  /** The page of its alarm. */
  href: string;
  /** When it was judged last. */
  judged_at: Timestamp | null;
  /** How long the last probe took, in seconds. */
  latency: number | null;
  /** What people call it. */
  name: string;
  /** What each place says of it; empty where it is probed from home alone. */
  places: PlaceVote[];
  /** What the last probe saw, in words. */
  reason: string;
  /** What to do when it is down. */
  runbook: RunbookLink | null;
  /** How bad it is when it is down. */
  severity: string;
  /** Since when. */
  since: Timestamp;
  /** What its alarm says. */
  state: AlarmState;
  /** What is probed. */
  target: string;
}

/** That somebody sees to an alert. */
export interface NewAcknowledgement {
  /** Who; unless given, who asks. */
  by?: string;
  /** A few words for the others. */
  comment?: string;
}

/** What is asked for to make a downtime. */
export interface NewDowntime {
  /** Who makes it; unless given, who asks. */
  by?: string;
  /** What it covers, and when. With `lasts` alone it begins now. */
  downtime: DowntimeConfig;
  /** Why. */
  why?: string;
}

/** What is asked for to open an incident. */
export interface NewIncident {
  /** What it is about: as the page calls it, or the name of the monitor or heartbeat. */
  affects?: string[];
  /** Who says it; unless given, who asks. No status page shows it. */
  by?: string;
  /** How much of it people feel. */
  impact?: Impact;
  /** Names of the status pages that show it; all of them if none is named. */
  pages?: string[];
  /** How far people are with it. */
  stage?: Stage;
  /** What those should know who use it; an empty line parts paragraphs. */
  text: string;
  /** What it is about, in a few words. */
  title: string;
}

/** One more update of an incident. What is given is so from now on. */
export interface NewIncidentUpdate {
  /** What it is about, all of it. */
  affects: string[] | null;
  /** Who says it; unless given, who asks. */
  by?: string;
  /** How much of it people feel. */
  impact: Impact | null;
  /** How far people are; as before, unless given. `resolved` ends it. */
  stage: Stage | null;
  /** What those should know who use it. */
  text: string;
  /** What it is about, in a few words. */
  title: string | null;
}

/** What is asked for to make a silence. */
export interface NewSilence {
  /** Why. */
  comment?: string;
  /** For how long from now, in seconds. */
  duration: number;
  /** What an alert must match to be held back; at least one. */
  matchers: SilenceMatcher[];
}

/** What somebody says of a page. */
export interface NewVerdict {
  /** Who; unless given, who asks. */
  by?: string;
  /** A few words beside it. */
  note?: string;
  /** When the episode began that is meant; the latest, unless given. */
  starts_at: Timestamp | null;
  /** Whether it was worth it. */
  verdict: Judgement;
}

/** Pages on their way. */
export interface Outbox {
  /** Channels that pages go through. */
  channels: Channel[];
  /** Since when the oldest waits. */
  oldest: Timestamp | null;
  /** How many pages wait to be accepted. */
  queued: number;
}

/** What became of a try. */
export type Outcome = "accepted" | "retry" | "gaveup" | "merged";

/** All that the first page shows, in one answer. */
export interface Overview {
  /** Whether the configuration in use is the one on disk. */
  config: ConfigState;
  /** Alerts that fire, as they are grouped for receivers. */
  groups: AlertGroup[];
  /** Every heartbeat, those that are missed first. */
  heartbeats: Heartbeat[];
  /** This machine; absent when its figures are not collected. */
  host: Host | null;
  /** Every monitor, those that are down first. */
  monitors: Monitor[];
  /** When this was true. */
  now: Timestamp;
  /** Pages on their way. */
  outbox: Outbox;
  /** Whose watchbell this is. */
  site: Site;
  /** How many alarms there are in each state. */
  totals: Totals;
  /** Alarms in `ALARM`, the worst first, then the longest. */
  wrong: Alarm[];
}

/** Whether a place is heard. */
export type PlaceState = "here" | "heard" | "expected" | "silent";

/** A place as it stands. */
export interface PlaceStatus {
  /** How many seconds the agent's clock is ahead of ours. */
  clock_ahead: number | null;
  /** How many results the agent dropped since its start, as its buffer was full. */
  dropped: number;
  /** When its agent was heard last, if it was since the start. */
  heard_at: Timestamp | null;
  /** How old the oldest result was that came last, in seconds. */
  lag: number;
  /** How many monitors are probed from there. */
  monitors: number;
  /** Its name. */
  name: string;
  /** Why its own network is down, if it is. */
  own_network: string | null;
  /** Monitors that its agent cannot probe. */
  refused: RefusedMonitor[];
  /** Whether it is heard. */
  state: PlaceState;
  /** The agent's release. */
  version: string | null;
  /** How many results wait at the agent. */
  waiting: number;
}

/** What a place says of a monitor. */
export interface PlaceVote {
  /** When its last result came, if one came since the start. */
  at: Timestamp | null;
  /** What that one saw, in words. */
  message: string | null;
  /** The place. */
  place: string;
  /** Its vote. */
  vote: Vote;
}

/** A page as a channel would send it, without credentials. */
export interface Preview {
  /** What somebody can open or press in it: `Run book`, `Acknowledge`. */
  buttons: string[];
  /** The channel: `oncall/ntfy`. */
  channel: string;
  /** The same when all is over; nothing where nobody is told of that. */
  end: string | null;
  /** Such as `ntfy` or `slack`. */
  kind: string;
  /** Whether a picture of the graph goes with it, in words. */
  picture: string | null;
  /** Templates of the configuration that fail; the built-in words stand in their place. */
  template_errors: string[];
  /** Headers and body. */
  text: string;
}

/** A monitor that an agent cannot probe. */
export interface RefusedMonitor {
  /** Its name. */
  monitor: string;
  /** Why. */
  reason: string;
}

/** What a rule does. */
export type RelabelAction = "replace" | "keep" | "drop" | "keepequal" | "dropequal" | "hashmod" | "labelmap" | "labeldrop" | "labelkeep" | "lowercase" | "uppercase";

/** One rule, as it is written. */
export interface RelabelConfig {
  /** What the rule does. */
  action?: RelabelAction;
  /** For `hashmod`: the hash is taken modulo this. */
  modulus?: number;
  /** Matched against the whole of what was put together; `.` matches a new line too. */
  regex?: string;
  /** Its new value; an empty one takes the label away. */
  replacement?: string;
  /** What stands between them. */
  separator?: string;
  /** Labels whose values are put together, in order. */
  source_labels?: string[];
  /** The label that is set; `$1` and `${name}` stand for what the expression's groups matched. */
  target_label?: string;
}

/** What one rule did, for a person. */
export interface RelabelStep {
  /** Whether what carries them is kept. */
  keep: boolean;
  /** The labels after it. */
  labels: Record<string, string>;
  /** The rule. */
  rule: RelabelConfig;
}

/** A series summed up over windows. The lists have an item for each window that has a value; numbers that JSON cannot write are null. */
export interface RollupSeries {
  /** How many values there are. */
  count: number[];
  /** By how much a counter grew, resets made good. */
  increase: (number | null)[];
  /** Whose it is. */
  labels: Record<string, string>;
  /** Last values. */
  last: (number | null)[];
  /** Greatest values. */
  max: (number | null)[];
  /** Means. */
  mean: (number | null)[];
  /** Least values. */
  min: (number | null)[];
  /** When each window begins, in seconds since 1970. */
  starts: number[];
  /** Length of a window in seconds. */
  step: number;
}

/** A run book in the list. */
export interface Runbook {
  /** Alarms that link to it. */
  alarms: Alarm[];
  /** Where it opens. */
  href: string;
  /** Required parts it lacks. */
  missing: string[];
  /** Its name. */
  name: string;
  /** Its first heading. */
  title: string;
}

/** Where a run book is read. */
export interface RunbookLink {
  /** Where it opens. */
  href: string;
  /** Its name, or the address of a page elsewhere. */
  name: string;
}

/** How the time of the next report is given. */
export type ScheduleKind = "simple" | "cron" | "oncalendar";

/** A browser that is signed in. */
export interface Session {
  /** The address it began from. */
  address: string;
  /** The browser, as it calls itself. */
  agent: string;
  /** When it began. */
  began_at: Timestamp;
  /** Whether it is the one that asks. */
  here: boolean;
  /** Names the session; not its secret. */
  id: string;
  /** When it was used last, to within ten minutes. */
  seen_at: Timestamp;
}

/** How bad it is, as the label `severity` says and routes match. */
export type Severity = "info" | "warning" | "critical";

/** A silence. */
export interface Silence {
  /** Why. */
  comment: string;
  /** Who made it. */
  created_by: string;
  /** Until when. */
  ends_at: Timestamp;
  /** Its identity. */
  id: string;
  /** What an alert must match to be held back. */
  matchers: SilenceMatcher[];
  /** From when. */
  starts_at: Timestamp;
  /** Whether it is in force. */
  state: SilenceState;
}

/** A condition of a silence on one label. */
export interface SilenceMatcher {
  /** The label. */
  name: string;
  /** `=`, `!=`, `=~` or `!~`. */
  op: string;
  /** A value or a regular expression. */
  value: string;
}

/** Whether a silence is in force. */
export type SilenceState = "pending" | "active" | "expired";

/** Whose watchbell this is. */
export interface Site {
  /** As configured under `site.name`. */
  name: string;
  /** Since when it runs. */
  started_at: Timestamp;
  /** The prefix of every link in a page. */
  url: string;
  /** Which release runs. */
  version: string;
}

/** How far people are with it. */
export type Stage = "investigating" | "identified" | "monitoring" | "resolved";

/** A status page, for those who look after it. */
export interface StatusPage {
  /** Who may see it. */
  access: StatusPageAccess;
  /** Where people find it. */
  href: string;
  /** What it shows, in its order. */
  items: StatusPageItem[];
  /** The last part of its address. */
  name: string;
  /** The worst of what it shows. */
  state: Health;
  /** The same in words. */
  summary: string;
  /** What stands on top of it. */
  title: string;
}

/** Who may see a status page. */
export type StatusPageAccess = "public" | "token" | "private";

/** A figure of a status page, and how to come to it again. */
export interface StatusPageFigure {
  /** When the figure ends. */
  at: Timestamp;
  /** The PromQL expression that comes to it, evaluated at `at`. */
  expression: string;
  /** 0 to 1; nothing if nothing is known. */
  up: number | null;
  /** `24h`, `7d`, `30d` or `90d`. */
  window: string;
}

/** What a status page shows. */
export interface StatusPageItem {
  /** The alarm that knows whether it works, such as `monitor/imap`. */
  alarm: string;
  /** Its name in addresses of badges. */
  id: string;
  /** What the page calls it. */
  name: string;
  /** How it is. */
  state: Health;
  /** The shares of the time in which it worked. */
  uptime: StatusPageFigure[];
}

/** How a target is. */
export type TargetHealth = "unknown" | "up" | "down";

/** A target as it stands, for APIs and pages. */
export interface TargetStatus {
  /** What was known of it before relabelling. */
  discovered: Record<string, string>;
  /** Why it failed, if it did. */
  error: string | null;
  /** How it is. */
  health: TargetHealth;
  /** The label `instance`. */
  instance: string;
  /** How often it is scraped. */
  interval: string;
  /** The label `job`. */
  job: string;
  /** Labels of all that is scraped from it. */
  labels: Record<string, string>;
  /** How long it took. */
  last_duration: string | null;
  /** When the last scrape began. */
  last_scrape: Timestamp | null;
  /** The `job_name` of its configuration; Prometheus calls it the scrape pool. */
  pool: string;
  /** How many samples it gave. */
  samples: number;
  /** How long it may take. */
  timeout: string;
  /** What is fetched. */
  url: string;
  /** Which rule of OpenMetrics its body breaks, if it does; it is taken all the same. */
  warning: string | null;
}

/** What is scraped, what is not and why. */
export interface Targets {
  /** Where targets come from that no configuration lists. */
  discoveries: DiscoveryStatus[];
  /** What was discovered and is not scraped, as much of it as is kept. */
  dropped: DroppedTarget[];
  /** How many targets relabelling dropped, by job. */
  dropped_counts: Record<string, number>;
  /** All targets, in order of job and instance. */
  targets: TargetStatus[];
}

/** RFC 3339 time in UTC, such as `2026-11-20T22:27:00.000Z`. */
export type Timestamp = string;

/** How many alarms there are in each state. */
export interface Totals {
  /** In `ALARM`. */
  alarm: number;
  /** In `INSUFFICIENT_DATA`. */
  insufficient_data: number;
  /** In `OK`. */
  ok: number;
}

/** A change of state, kept as the alarm's history. */
export interface Transition {
  /** Which alarm. */
  alarm: string;
  /** When it was decided. */
  at: Timestamp;
  /** Before. */
  from: AlarmState;
  /** Which of its label sets, if it judges many series. */
  labels?: Record<string, string>;
  /** Why, in words. */
  reason: string;
  /** After. */
  to: AlarmState;
}

/** What was said of an episode. */
export interface Verdict {
  /** When. */
  at: Timestamp;
  /** Who. */
  by: string;
  /** What they said beside it, if anything. */
  note?: string;
  /** What they say. */
  verdict: Judgement;
}

/** What a place says of a monitor. */
export type Vote = "up" | "down" | "open" | "silent";
