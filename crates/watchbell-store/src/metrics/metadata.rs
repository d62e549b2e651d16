//! What metrics are, as their senders say: type, unit and help by the metric's name.
//!
//! Pure. Senders may disagree; then a metric has several, until one was not said for a day while another was. The log
//! has what is new, a file of its own ([`super::side_file`]) the rest, so that it survives the cutting of the log.

use std::collections::BTreeMap;

use watchbell_model::{Metadata, MetricType};

use super::bytes::{Cursor, put_signed, put_text, put_varint};

/// How many metrics are known at most; then the one that was not spoken of for the longest time is forgotten.
pub(crate) const METRICS_MAX: usize = 50_000;
/// How many variants one metric has at most; likewise.
const VARIANTS_MAX: usize = 4;
/// How long the name and the unit of a metric are at most, in bytes; one that has more is left out.
const NAME_MAX: usize = 512;
/// How long a help text is at most, in bytes; what is longer is cut.
const HELP_MAX: usize = 4096;
/// How much longer ago than another one a variant must have been said to be forgotten, in milliseconds.
const DISAGREED: i64 = 86_400_000;

/// The file's first bytes; the last is the version.
pub(crate) const MAGIC: [u8; 8] = *b"WBMETAD\x01";

/// All that is known.
#[derive(Default)]
pub(crate) struct KnownMetrics {
    metrics: BTreeMap<String, Vec<Variant>>,
    /// Whether there is news since the file was written.
    changed: bool,
}

struct Variant {
    metadata: Metadata,
    /// When it was said last, in milliseconds.
    said: i64,
}

impl KnownMetrics {
    /// Takes in what a sender says at `now`; answers whether that was new.
    pub(crate) fn learn(&mut self, metric: &str, metadata: &Metadata, now: i64) -> bool {
        if metric.is_empty() || metric.len() > NAME_MAX || metadata.unit.len() > NAME_MAX {
            return false;
        }
        let help = cut(&metadata.help);
        let same = |have: &Variant| {
            (have.metadata.kind, &*have.metadata.unit, &*have.metadata.help) == (metadata.kind, &*metadata.unit, help)
        };
        if let Some(variants) = self.metrics.get_mut(metric) {
            if let Some(known) = variants.iter_mut().find(|have| same(have)) {
                known.said = known.said.max(now);
                return false;
            }
            if variants.len() >= VARIANTS_MAX
                && let Some(oldest) = (0..variants.len()).min_by_key(|at| variants[*at].said)
            {
                variants.remove(oldest);
            }
        } else if self.metrics.len() >= METRICS_MAX {
            self.make_room();
        }
        let metadata = Metadata { kind: metadata.kind, unit: metadata.unit.clone(), help: help.to_owned() };
        self.metrics.entry(metric.to_owned()).or_default().push(Variant { metadata, said: now });
        self.changed = true;
        true
    }

    /// Forgets a sixteenth, so that this is rare.
    fn make_room(&mut self) {
        let last = |variants: &Vec<Variant>| variants.iter().map(|variant| variant.said).max().unwrap_or(i64::MIN);
        let mut by_age: Vec<(i64, String)> =
            self.metrics.iter().map(|(metric, variants)| (last(variants), metric.clone())).collect();
        by_age.sort_unstable();
        by_age.truncate(METRICS_MAX / 16);
        by_age.iter().for_each(|(_, metric)| _ = self.metrics.remove(metric));
    }

    /// By name, what was first said first.
    pub(crate) fn find(&self, metric: Option<&str>) -> Vec<(String, Vec<Metadata>)> {
        let said = |(metric, variants): (&String, &Vec<Variant>)| {
            (metric.clone(), variants.iter().map(|variant| variant.metadata.clone()).collect())
        };
        match metric {
            Some(metric) => self.metrics.get_key_value(metric).into_iter().map(said).collect(),
            None => self.metrics.iter().map(said).collect(),
        }
    }

    /// The content of the file, if there is news since it was last asked for. What nobody says any more is forgotten.
    pub(crate) fn news(&mut self) -> Option<Vec<u8>> {
        for variants in self.metrics.values_mut() {
            let last = variants.iter().map(|variant| variant.said).max().unwrap_or(i64::MIN);
            let before = variants.len();
            variants.retain(|variant| variant.said >= last.saturating_sub(DISAGREED));
            self.changed |= variants.len() < before;
        }
        std::mem::take(&mut self.changed).then(|| self.encode())
    }

    /// The file could not be written: what it should have held is still news.
    pub(crate) fn not_saved(&mut self) {
        self.changed = true;
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_varint(&mut out, self.metrics.values().map(Vec::len).sum::<usize>() as u64);
        for (metric, variants) in &self.metrics {
            for Variant { metadata, said } in variants {
                put_metadata(&mut out, metric, metadata);
                put_signed(&mut out, *said);
            }
        }
        out
    }

    /// What the file holds; `None` if the bytes are not that.
    pub(crate) fn decode(content: &[u8]) -> Option<KnownMetrics> {
        let (mut from, mut known) = (Cursor(content), KnownMetrics::default());
        for _ in 0..from.varint()? {
            let (metric, metadata) = take_metadata(&mut from)?;
            known.learn(metric, &metadata, from.signed()?);
        }
        known.changed = false;
        from.0.is_empty().then_some(known)
    }
}

/// At a boundary of characters.
fn cut(help: &str) -> &str {
    let mut end = help.len().min(HELP_MAX);
    while !help.is_char_boundary(end) {
        end -= 1;
    }
    &help[..end]
}

const KINDS: [MetricType; 8] = [
    MetricType::Unknown,
    MetricType::Counter,
    MetricType::Gauge,
    MetricType::Histogram,
    MetricType::GaugeHistogram,
    MetricType::Summary,
    MetricType::Info,
    MetricType::StateSet,
];

/// What a metric is, as the log and the file have it.
pub(crate) fn put_metadata(out: &mut Vec<u8>, metric: &str, metadata: &Metadata) {
    put_text(out, metric);
    out.push(KINDS.iter().position(|kind| *kind == metadata.kind).unwrap_or(0) as u8);
    put_text(out, &metadata.unit);
    put_text(out, cut(&metadata.help));
}

/// Reads what [`put_metadata`] wrote; `None` if the bytes are not that.
pub(crate) fn take_metadata<'a>(from: &mut Cursor<'a>) -> Option<(&'a str, Metadata)> {
    let metric = from.text()?;
    let kind = *KINDS.get(usize::from(from.u8()?))?;
    Some((metric, Metadata { kind, unit: from.text()?.to_owned(), help: from.text()?.to_owned() }))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn help(help: &str) -> Metadata {
        Metadata { kind: MetricType::Counter, unit: "seconds".into(), help: help.into() }
    }

    fn said(known: &KnownMetrics) -> String {
        let all = known.find(None).into_iter().map(|(metric, variants)| {
            let help: Vec<&str> = variants.iter().map(|variant| &*variant.help).collect();
            format!("{metric}: {}", help.join(", "))
        });
        all.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn senders_may_disagree_but_not_without_end() {
        let mut known = KnownMetrics::default();
        let learned: Vec<bool> = [("a", "one", 1), ("a", "two", 2), ("a", "one", 3), ("b", "one", 4), ("", "none", 5)]
            .map(|(metric, text, now)| known.learn(metric, &help(text), now))
            .into();
        assert_eq!(learned, [true, true, false, true, false]);
        expect![[r#"
            a: one, two
            b: one"#]]
        .assert_eq(&said(&known));
        for text in ["three", "four", "five"] {
            known.learn("a", &help(text), 6);
        }
        expect![[r#"
            a: one, three, four, five
            b: one"#]]
        .assert_eq(&said(&known));
        assert_eq!(known.find(Some("b")).len() + known.find(Some("c")).len(), 1);
        // What only an old version says is forgotten when the others go on.
        known.learn("a", &help("five"), 7 + DISAGREED);
        let content = known.news().unwrap();
        expect![[r#"
            a: five
            b: one"#]]
        .assert_eq(&said(&known));
        assert_eq!(known.news(), None);
        assert_eq!(said(&KnownMetrics::decode(&content).unwrap()), said(&known));
        assert!((0..content.len()).all(|len| KnownMetrics::decode(&content[..len]).is_none()));
    }

    #[test]
    fn what_was_not_spoken_of_for_long_makes_room() {
        let mut known = KnownMetrics::default();
        for at in 0..METRICS_MAX + 10 {
            known.learn(&format!("m{at}"), &help("x"), at as i64);
        }
        assert!(known.metrics.len() <= METRICS_MAX && !known.metrics.contains_key("m0"));
        assert!(known.metrics.contains_key(&format!("m{}", METRICS_MAX + 9)));
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let mut known = KnownMetrics::default();
        let long = help(&"é".repeat(HELP_MAX));
        assert!(known.learn("a", &help(&format!("x{}", long.help)), 1));
        assert!(!known.learn("a", &help(&format!("x{}", long.help)), 2), "the same once more");
        assert_eq!(known.find(None)[0].1[0].help.len(), HELP_MAX - 1);
    }
}
