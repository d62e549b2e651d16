//! The files of profiles that AWS' own tools keep: `~/.aws/config` and `~/.aws/credentials`. Pure.

use std::collections::BTreeMap;

/// The fields of all profiles, by the profile's name.
pub(super) type Profiles = BTreeMap<String, BTreeMap<String, String>>;

/// Reads one of the two files into what the other one said, which stands.
pub(super) fn read(text: &str, into: &mut Profiles) {
    let mut section: Option<String> = None;
    for line in text.lines() {
        let line = line.trim_end();
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = trimmed.strip_prefix('[').and_then(|it| it.split(']').next()) {
            let name = name.trim();
            section = match name.split_once(char::is_whitespace) {
                Some(("profile", name)) => Some(name.trim().trim_matches('"').to_owned()),
                // Such as `[sso-session x]`.
                Some(_) => None,
                None => Some(name.to_owned()),
            };
            continue;
        }
        // A line that is set in belongs to the field above it.
        let (Some(section), Some((name, value)), false) =
            (&section, trimmed.split_once('='), line.starts_with([' ', '\t']))
        else {
            continue;
        };
        let value = value.split(" #").next().unwrap_or_default().trim().to_owned();
        into.entry(section.clone()).or_default().entry(name.trim().to_ascii_lowercase()).or_insert(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_are_read() {
        let mut profiles = Profiles::new();
        read("[default]\naws_access_key_id = AK\naws_secret_access_key=S=K\n# x\n", &mut profiles);
        read(
            "[default]\nregion = eu-west-1 # here\naws_access_key_id = other\n[profile ops team]\nrole_arn = arn:x\ns3 =\n  region = no\n[sso-session x]\nregion = no\n",
            &mut profiles,
        );
        let text = format!("{profiles:?}");
        assert_eq!(
            text,
            r#"{"default": {"aws_access_key_id": "AK", "aws_secret_access_key": "S=K", "region": "eu-west-1"}, "ops team": {"role_arn": "arn:x", "s3": ""}}"#
        );
    }
}
