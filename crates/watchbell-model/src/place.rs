//! Places: networks from which monitors are probed, and how many of them decide.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, de};

/// The place of the process that decides; all others are agents'.
pub const HOME: &str = "home";

/// How many places must say that a monitor is down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Quorum {
    /// More than half of those that say anything.
    #[default]
    Majority,
    /// So many, however many say anything.
    Of(usize),
}

/// What a place says of a monitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Vote {
    /// It works.
    Up,
    /// It failed as often as it takes.
    Down,
    /// Nothing was heard yet, or it fails and retries are left.
    Open,
    /// Nothing is heard; no vote.
    Silent,
}

/// What the places say together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It works.
    Up,
    /// As many places as it takes say that it is down.
    Down,
    /// Votes that are open decide.
    Open,
    /// Too few places say anything.
    NoQuorum,
}

impl Quorum {
    /// How many places it takes where so many say something.
    pub fn of(self, voters: usize) -> usize {
        match self {
            Quorum::Majority => voters / 2 + 1,
            Quorum::Of(places) => places,
        }
    }

    /// What the places say together. One that is silent has no vote, so that it neither hides that a target is down nor
    /// makes one.
    pub fn judge(self, votes: impl IntoIterator<Item = Vote>) -> Verdict {
        let (mut up, mut down, mut open) = (0, 0, 0);
        for vote in votes {
            match vote {
                Vote::Up => up += 1,
                Vote::Down => down += 1,
                Vote::Open => open += 1,
                Vote::Silent => {}
            }
        }
        let voters = up + down + open;
        let needed = self.of(voters);
        if down >= needed {
            Verdict::Down
        } else if voters < needed {
            Verdict::NoQuorum
        } else if down + open < needed {
            Verdict::Up
        } else {
            Verdict::Open
        }
    }
}

/// A quorum that is neither a number nor `majority`.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a quorum: `majority`, or a number of places from 1")]
pub struct QuorumError(String);

impl FromStr for Quorum {
    type Err = QuorumError;

    fn from_str(text: &str) -> Result<Quorum, QuorumError> {
        match text.parse() {
            Ok(places @ 1..) => Ok(Quorum::Of(places)),
            Err(_) if text == "majority" => Ok(Quorum::Majority),
            _ => Err(QuorumError(text.to_owned())),
        }
    }
}

impl fmt::Display for Quorum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Quorum::Majority => f.write_str("majority"),
            Quorum::Of(places) => places.fmt(f),
        }
    }
}

impl<'de> Deserialize<'de> for Quorum {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Quorum, D::Error> {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}

impl schemars::JsonSchema for Quorum {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Quorum".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "format": "quorum", "default": "majority" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every way in which three places may vote, sorted, and what each quorum makes of it.
    #[test]
    fn three_places_and_every_quorum() {
        let quorums = [Quorum::Of(1), Quorum::Of(2), Quorum::Of(3), Quorum::Majority];
        let all = [Vote::Up, Vote::Down, Vote::Silent, Vote::Open];
        let mut lines = std::collections::BTreeMap::new();
        for (a, b, c) in
            all.into_iter().flat_map(|a| all.into_iter().flat_map(move |b| all.into_iter().map(move |c| (a, b, c))))
        {
            let mut names = [a, b, c].map(|vote| format!("{vote:?}"));
            names.sort();
            let told = quorums.map(|quorum| format!("{quorum}={:?}", quorum.judge([a, b, c]))).join(" ");
            let before = lines.insert(names.join(" "), told.clone());
            assert!(before.is_none_or(|before| before == told), "the order of places says nothing: {names:?}");
        }
        let text: Vec<String> = lines.iter().map(|(votes, told)| format!("{votes}: {told}")).collect();
        expect_test::expect![[r#"
            Down Down Down: 1=Down 2=Down 3=Down majority=Down
            Down Down Open: 1=Down 2=Down 3=Open majority=Down
            Down Down Silent: 1=Down 2=Down 3=NoQuorum majority=Down
            Down Down Up: 1=Down 2=Down 3=Up majority=Down
            Down Open Open: 1=Down 2=Open 3=Open majority=Open
            Down Open Silent: 1=Down 2=Open 3=NoQuorum majority=Open
            Down Open Up: 1=Down 2=Open 3=Up majority=Open
            Down Silent Silent: 1=Down 2=NoQuorum 3=NoQuorum majority=Down
            Down Silent Up: 1=Down 2=Up 3=NoQuorum majority=Up
            Down Up Up: 1=Down 2=Up 3=Up majority=Up
            Open Open Open: 1=Open 2=Open 3=Open majority=Open
            Open Open Silent: 1=Open 2=Open 3=NoQuorum majority=Open
            Open Open Up: 1=Open 2=Open 3=Up majority=Open
            Open Silent Silent: 1=Open 2=NoQuorum 3=NoQuorum majority=Open
            Open Silent Up: 1=Open 2=Up 3=NoQuorum majority=Up
            Open Up Up: 1=Open 2=Up 3=Up majority=Up
            Silent Silent Silent: 1=NoQuorum 2=NoQuorum 3=NoQuorum majority=NoQuorum
            Silent Silent Up: 1=Up 2=NoQuorum 3=NoQuorum majority=Up
            Silent Up Up: 1=Up 2=Up 3=NoQuorum majority=Up
            Up Up Up: 1=Up 2=Up 3=Up majority=Up"#]]
        .assert_eq(&text.join("\n"));
    }

    #[test]
    fn a_quorum_reads_back() {
        for text in ["1", "3", "majority"] {
            assert_eq!(text.parse::<Quorum>().unwrap().to_string(), text);
        }
        for text in ["0", "-1", "most", "", "1.5"] {
            let error = text.parse::<Quorum>().unwrap_err().to_string();
            assert_eq!(error, format!("`{text}` is not a quorum: `majority`, or a number of places from 1"));
        }
    }
}
