//! Routes: which receivers are told of an alert, and by what its group is made.
//!
//! Pure: labels go in, routes come out. An alert always has at least one route, since the root takes all.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use watchbell_model::{Labels, Matcher, Path, Problems, Span, Timestamp};

use crate::config::{RouteConfig, check_name};
use crate::interval::Intervals;
use crate::matcher::{MatcherMode, print_matchers};

const GROUP_WAIT: Span = Span::seconds(30);
const GROUP_INTERVAL: Span = Span::minutes(5);
const REPEAT_INTERVAL: Span = Span::hours(4);
/// How many labels a route may have, its parents' included.
const LABELS_MAX: usize = 64;
/// How deep routes may lie in one another.
const ROUTE_DEPTH_MAX: usize = 32;

/// All routes; the root is the first.
#[derive(Debug, Default)]
pub(crate) struct Tree(Vec<Route>);

/// A route with all that it inherits.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    /// `{}/{severity="critical"}`, as Alertmanager prints it. Of routes to one receiver with equal keys, the later ones
    /// have their number after it, so that their groups are told apart.
    pub(crate) key: String,
    pub(crate) receiver: String,
    group_by: GroupBy,
    matchers: Vec<Matcher>,
    continue_: bool,
    pub(crate) timing: Timing,
    mute: Vec<String>,
    active: Vec<String>,
    /// What is said of its groups: templates.
    pub(crate) labels: Labels,
    /// Whether nothing keeps it from telling.
    pub(crate) always: bool,
    children: Vec<usize>,
}

/// How long a group of a route waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Timing {
    /// Before it is told of at first.
    pub(crate) wait: Duration,
    /// Between looks at it after that.
    pub(crate) interval: Duration,
    /// Before it is told of again though nothing changed.
    pub(crate) repeat: Duration,
}

#[derive(Debug, Clone)]
enum GroupBy {
    All,
    Names(BTreeSet<String>),
}

impl Tree {
    /// Reads the routes; what cannot be read is a problem.
    pub(crate) fn compile(config: &RouteConfig, mode: MatcherMode, path: &Path, problems: &mut Problems) -> Tree {
        let mut tree = Tree(Vec::new());
        if config.receiver.as_ref().is_none_or(String::is_empty) {
            problems
                .error(&path.field("receiver"), "the root route names no receiver")
                .hint("name the receiver that is told of every alert no other route takes");
        }
        let root = Route {
            key: String::new(),
            receiver: String::new(),
            group_by: GroupBy::Names(BTreeSet::new()),
            matchers: Vec::new(),
            continue_: false,
            timing: Timing {
                wait: GROUP_WAIT.duration(),
                interval: GROUP_INTERVAL.duration(),
                repeat: REPEAT_INTERVAL.duration(),
            },
            mute: Vec::new(),
            active: Vec::new(),
            labels: Labels::empty(),
            always: false,
            children: Vec::new(),
        };
        tree.add(config, mode, &root, 0, path, problems);
        let root = &tree.0[0];
        for (field, bad) in [
            ("matchers", !root.matchers.is_empty()),
            ("mute_time_intervals", !root.mute.is_empty()),
            ("active_time_intervals", !root.active.is_empty()),
            ("continue", root.continue_),
        ] {
            if bad {
                problems
                    .error(&path.field(field), format!("the root route cannot have `{field}`: it takes every alert"))
                    .hint("put it on a route under it");
            }
        }
        let mut seen = HashSet::new();
        for route in &mut tree.0 {
            let plain = route.key.clone();
            let mut number = 1;
            while !seen.insert((route.receiver.clone(), route.key.clone())) {
                number += 1;
                route.key = format!("{plain}#{number}");
            }
        }
        tree
    }

    fn add(
        &mut self,
        config: &RouteConfig,
        mode: MatcherMode,
        parent: &Route,
        depth: usize,
        path: &Path,
        problems: &mut Problems,
    ) -> usize {
        let matchers = config.matchers(mode, path, problems);
        let key = print_matchers(&matchers);
        let duration = |own: Option<Span>, inherited: Duration| own.map_or(inherited, Span::duration);
        let timing = Timing {
            wait: duration(config.group_wait, parent.timing.wait),
            interval: duration(config.group_interval, parent.timing.interval),
            repeat: duration(config.repeat_interval, parent.timing.repeat),
        };
        for (field, time) in [("group_interval", timing.interval), ("repeat_interval", timing.repeat)] {
            if time.is_zero() {
                problems.error(&path.field(field), format!("`{field}` cannot be zero")).hint("write at least `1s`");
            }
        }
        let at = self.0.len();
        self.0.push(Route {
            key: if depth == 0 { key } else { format!("{}/{key}", parent.key) },
            receiver: config.receiver.clone().unwrap_or_else(|| parent.receiver.clone()),
            group_by: group_by(config.group_by.as_deref().unwrap_or_default(), mode, path, problems)
                .unwrap_or_else(|| parent.group_by.clone()),
            matchers,
            continue_: config.continue_,
            timing,
            mute: config.mute_time_intervals.clone(),
            active: config.active_time_intervals.clone(),
            labels: labels(&config.labels, &parent.labels, path, problems),
            always: config.always,
            children: Vec::new(),
        });
        if depth >= ROUTE_DEPTH_MAX && !config.routes.is_empty() {
            problems.error(&path.field("routes"), format!("routes lie more than {ROUTE_DEPTH_MAX} deep"));
            return at;
        }
        let this = self.0[at].clone();
        for (number, child) in config.routes.iter().enumerate() {
            let path = path.field("routes").index(number);
            let names_none = child.matchers.is_empty() && child.match_.is_empty() && child.match_re.is_empty();
            let child = self.add(child, mode, &this, depth + 1, &path, problems);
            if names_none && !self.0[child].continue_ && number + 1 < config.routes.len() {
                problems
                    .warning(&path, "this route takes every alert, so the routes after it are never reached")
                    .hint("give it `matchers`, or `continue: true`, or put it last");
            }
            self.0[at].children.push(child);
        }
        at
    }

    pub(crate) fn route(&self, at: usize) -> &Route {
        &self.0[at]
    }

    /// The routes that take an alert, in the order of the configuration.
    pub(crate) fn matches(&self, labels: &Labels) -> Vec<usize> {
        let mut found = Vec::new();
        if !self.0.is_empty() {
            self.collect(0, labels, &mut found);
        }
        found
    }

    fn collect(&self, at: usize, labels: &Labels, found: &mut Vec<usize>) -> bool {
        let route = &self.0[at];
        if !route.matchers.iter().all(|matcher| matcher.matches_labels(labels)) {
            return false;
        }
        let before = found.len();
        for child in &route.children {
            if self.collect(*child, labels, found) && !self.0[*child].continue_ {
                break;
            }
        }
        if found.len() == before {
            found.push(at);
        }
        true
    }
}

impl Route {
    /// The labels of the group that an alert belongs to.
    pub(crate) fn group_labels(&self, labels: &Labels) -> Labels {
        match &self.group_by {
            GroupBy::All => labels.clone(),
            GroupBy::Names(names) => labels.filtered(|name| names.contains(name)),
        }
    }

    /// `<route key>:<labels>`, as Alertmanager prints it.
    pub(crate) fn group_key(&self, labels: &Labels) -> String {
        format!("{}:{labels}", self.key)
    }

    /// The time intervals that hold the route's tongue at `now`; of active ones all, when none of them holds.
    pub(crate) fn muted_by(&self, intervals: &Intervals, now: Timestamp) -> Vec<String> {
        let inside = |name: &&String| intervals.contains(name, now);
        let mut muted: Vec<String> = self.mute.iter().filter(inside).cloned().collect();
        if !self.active.is_empty() && !self.active.iter().any(|name| inside(&name)) {
            muted.extend(self.active.iter().cloned());
        }
        muted
    }
}

/// What a route says of its groups: what its parent says, and its own in the place of what has the same name.
fn labels(own: &BTreeMap<String, String>, parent: &Labels, path: &Path, problems: &mut Problems) -> Labels {
    let path = path.field("labels");
    if own.contains_key("") {
        problems.error(&path, "a label name cannot be empty");
    }
    let mut all: BTreeMap<&str, &str> = parent.iter().collect();
    all.extend(own.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    if all.len() > LABELS_MAX {
        let message = format!("the route has {} labels, its parents' included", all.len());
        problems.error(&path, message).hint(format!("at most {LABELS_MAX} can be"));
    }
    Labels::from_pairs(all)
}

fn group_by(names: &[String], mode: MatcherMode, path: &Path, problems: &mut Problems) -> Option<GroupBy> {
    let path = path.field("group_by");
    if names.is_empty() {
        return None;
    }
    let mut set = BTreeSet::new();
    for (at, name) in names.iter().enumerate() {
        if name != "..." {
            check_name(mode, name, &path.index(at), problems);
        }
        if !set.insert(name.clone()) {
            problems.error(&path.index(at), format!("`{name}` is named twice")).hint("take one of them out");
        }
    }
    if !set.contains("...") {
        return Some(GroupBy::Names(set));
    }
    if set.len() > 1 {
        problems.error(&path, "`...` stands for all labels and cannot have others beside it").hint("keep one of both");
    }
    Some(GroupBy::All)
}
