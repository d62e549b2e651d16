//! How well a name fits what somebody has typed so far, as Prometheus' search scores it: 1 is best, and nothing means
//! that it does not fit.
//!
//! Pure. Lengths and places are in characters.

/// How fuzzy a search is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    /// All that was typed is there in this order, with anything between.
    Subsequence,
    /// It is part of the name, or much like it by Jaro and Winkler.
    JaroWinkler,
}

/// What does not fit exactly stays below 1, so that what does comes first.
const INEXACT: f64 = 0.999;
/// What a common beginning counts for by Winkler, for each of its first characters.
const BEGINNING: f64 = 0.1;
const BEGINNING_MAX: usize = 4;

/// What is searched for.
#[derive(Debug)]
pub(super) struct Search {
    terms: Vec<Vec<char>>,
    algorithm: Algorithm,
    /// The score that a name must reach, from 0 to 1.
    threshold: f64,
    case_sensitive: bool,
}

impl Search {
    /// A name that fits one of the terms fits; without any all do.
    pub(super) fn new<'a>(
        terms: impl Iterator<Item = &'a str>,
        algorithm: Algorithm,
        threshold: f64,
        case_sensitive: bool,
    ) -> Search {
        let one = |term: &str| characters(term, case_sensitive);
        Search { terms: terms.filter(|it| !it.is_empty()).map(one).collect(), algorithm, threshold, case_sensitive }
    }

    /// The best score of a name.
    pub(super) fn score(&self, name: &str) -> Option<f64> {
        if self.terms.is_empty() {
            return Some(1.0);
        }
        let name = characters(name, self.case_sensitive);
        self.terms.iter().filter_map(|term| self.of_term(term, &name)).reduce(f64::max)
    }

    fn of_term(&self, term: &[char], name: &[char]) -> Option<f64> {
        if name.starts_with(term) {
            return Some(1.0);
        }
        match self.algorithm {
            Algorithm::Subsequence => {
                Some(subsequence(term, name)).filter(|score| *score > 0.0 && *score >= self.threshold)
            }
            Algorithm::JaroWinkler => part(term, name).or_else(|| {
                Some(jaro_winkler(term, name)).filter(|score| self.threshold > 0.0 && *score >= self.threshold)
            }),
        }
    }
}

fn characters(text: &str, case_sensitive: bool) -> Vec<char> {
    if case_sensitive { text.chars().collect() } else { text.to_lowercase().chars().collect() }
}

/// From 1 at the beginning down to 0.1 at the end.
fn part(term: &[char], name: &[char]) -> Option<f64> {
    let at = name.windows(term.len()).position(|window| window == term)?;
    Some(1.0 - 0.9 * at as f64 / (name.len() - term.len()).max(1) as f64)
}

/// The squares of the lengths of what stands together, less what is left out before and between, and half of what is
/// left out behind, as parts of the whole; against the square of the term's length. The best of all beginnings counts.
fn subsequence(term: &[char], name: &[char]) -> f64 {
    let beginnings = (0..name.len()).filter(|at| term.first() == Some(&name[*at]));
    let best = beginnings.map_while(|at| subsequence_at(term, name, at)).fold(0.0, f64::max);
    INEXACT * best / (term.len() * term.len()) as f64
}

/// With its beginning there; each further character where it comes first.
fn subsequence_at(term: &[char], name: &[char], beginning: usize) -> Option<f64> {
    let whole = name.len() as f64;
    let (mut score, mut found, mut end) = (0.0, 0, 0);
    let mut from = beginning;
    while found < term.len() {
        let begin = from + name[from..].iter().position(|c| *c == term[found])?;
        let together = name[begin..].iter().zip(&term[found..]).take_while(|(a, b)| a == b).count();
        score += (together * together) as f64 - (begin - end) as f64 / whole;
        found += together;
        end = begin + together;
        from = end;
    }
    Some(score - (name.len() - end) as f64 / whole / 2.0)
}

/// The similarity of Jaro, which counts characters that both have near the same place and in the same order, and
/// Winkler's bonus for a common beginning.
fn jaro_winkler(a: &[char], b: &[char]) -> f64 {
    let (short, long) = if a.len() > b.len() { (b, a) } else { (a, b) };
    let reach = (long.len() / 2).saturating_sub(1);
    let mut taken = vec![false; long.len()];
    let mut common = Vec::new();
    for (at, c) in short.iter().enumerate() {
        let near = at.saturating_sub(reach)..(at + reach + 1).min(long.len());
        if let Some(there) = near.into_iter().find(|there| !taken[*there] && long[*there] == *c) {
            taken[there] = true;
            common.push(*c);
        }
    }
    if common.is_empty() {
        return 0.0;
    }
    let in_order = long.iter().zip(&taken).filter(|(_, taken)| **taken).map(|(c, _)| c);
    let moved = common.iter().zip(in_order).filter(|(a, b)| a != b).count() as f64 / 2.0;
    let count = common.len() as f64;
    let jaro = (count / short.len() as f64 + count / long.len() as f64 + (count - moved) / count) / 3.0;
    let beginning = short.iter().zip(long).take(BEGINNING_MAX).take_while(|(a, b)| a == b).count();
    jaro + beginning as f64 * BEGINNING * (1.0 - jaro)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(algorithm: Algorithm, threshold: f64, term: &str, name: &str) -> String {
        let search = Search::new([term].into_iter(), algorithm, threshold, true);
        search.score(name).map_or("-".to_owned(), |score| format!("{score:.4}"))
    }

    #[test]
    fn what_stands_together_and_near_the_beginning_fits_best() {
        let of = |term: &str, name: &str| score(Algorithm::Subsequence, 0.0, term, name);
        assert_eq!(of("up", "up"), "1.0000");
        assert_eq!(of("http", "http_requests_total"), "1.0000");
        // 9 for `abc`, less one of four before it; 4 for `ab` and 1 for `c`, less one of four between.
        assert_eq!(of("abc", "xabc"), format!("{:.4}", INEXACT * 8.75 / 9.0));
        assert_eq!(of("abc", "abxc"), format!("{:.4}", INEXACT * 4.75 / 9.0));
        assert_eq!(of("ab", "xabxx"), format!("{:.4}", INEXACT * (4.0 - 0.2 - 0.2) / 4.0));
        // The second beginning is better.
        assert_eq!(of("ab", "axab"), format!("{:.4}", INEXACT * (4.0 - 0.5) / 4.0));
        assert_eq!((of("abc", "acb"), of("abc", "ab"), of("é", "cafe")), ("-".into(), "-".into(), "-".into()));
        assert_eq!(score(Algorithm::Subsequence, 0.6, "abc", "abxc"), "-", "below the threshold");
    }

    #[test]
    fn known_values_of_jaro_and_winkler() {
        let of = |term: &str, name: &str| score(Algorithm::JaroWinkler, 0.5, term, name);
        assert_eq!(of("martha", "marhta"), "0.9611");
        assert_eq!(of("dwayne", "duane"), "0.8400");
        assert_eq!(of("dixon", "dicksonx"), "0.8133");
        assert_eq!((of("abc", "xyz"), of("abc", "")), ("-".into(), "-".into()));
        assert_eq!(score(Algorithm::JaroWinkler, 0.0, "martha", "marhta"), "-", "without a threshold only parts fit");
        assert_eq!((of("total", "x_total"), of("b", "abc")), ("0.1000".into(), "0.5500".into()));
    }

    #[test]
    fn the_best_term_counts_in_either_case() {
        let search = Search::new(["UP", "", "zz"].into_iter(), Algorithm::Subsequence, 0.0, false);
        assert_eq!((search.score("up"), search.score("down")), (Some(1.0), None));
        assert_eq!(Search::new(std::iter::empty(), Algorithm::Subsequence, 0.9, true).score("any"), Some(1.0));
    }

    #[test]
    fn scores_lie_between_nothing_and_one() {
        let texts = |longest: usize| {
            let mut all = vec![String::new()];
            let mut last = all.clone();
            for _ in 0..longest {
                last = last.iter().flat_map(|text| ['a', 'b', 'é'].map(|c| format!("{text}{c}"))).collect();
                all.extend(last.iter().cloned());
            }
            all
        };
        for term in texts(3) {
            for algorithm in [Algorithm::Subsequence, Algorithm::JaroWinkler] {
                let search = Search::new([term.as_str()].into_iter(), algorithm, 0.01, true);
                for name in texts(4) {
                    let score = search.score(&name).unwrap_or(0.0);
                    assert!((0.0..=1.0).contains(&score), "{term} in {name}: {score}");
                    assert_eq!(score == 1.0, name.starts_with(&term), "{term} in {name}: {score}");
                }
            }
        }
    }
}
