//! Which series and labels there are: `/series`, `/labels`, `/label/{name}/values`.

use axum::extract::{Path, State};
use serde::Serialize;
use serde_json::json;
use watchbell_model::{Found, Lookup, Matcher, QueryError};

use super::envelope::{CUT, ok_with};
use super::{Answered, BEGINNING, END, Parameters, Refused, run};
use crate::App;

/// `/api/v1/series`.
pub(crate) async fn series(State(app): State<App>, parameters: Parameters) -> Answered {
    if parameters.all("match[]").next().is_none() {
        return Err(Refused::BadData("no match[] parameter provided".into()));
    }
    let matchers = parameters.selectors()?;
    lookup(app, &parameters, matchers, |app, lookup| app.query.series(lookup)).await
}

/// `/api/v1/labels`.
pub(crate) async fn labels(State(app): State<App>, parameters: Parameters) -> Answered {
    let matchers = parameters.sets().map_err(Refused::BadData)?;
    lookup(app, &parameters, matchers, |app, lookup| app.query.label_names(lookup)).await
}

/// `/api/v1/label/{name}/values`.
pub(crate) async fn label_values(State(app): State<App>, Path(name): Path<String>, parameters: Parameters) -> Answered {
    let name = unescaped(&name).unwrap_or(name);
    if name.is_empty() {
        return Err(Refused::BadData(format!("invalid label name: {name:?}")));
    }
    let matchers = parameters.sets().map_err(Refused::BadData)?;
    lookup(app, &parameters, matchers, move |app, lookup| app.query.label_values(&name, lookup)).await
}

async fn lookup<T: Serialize + Send + 'static>(
    app: App,
    parameters: &Parameters,
    matchers: Vec<Vec<Matcher>>,
    ask: impl FnOnce(&App, &Lookup<'_>) -> Result<Found<T>, QueryError> + Send + 'static,
) -> Answered {
    let limit = parameters.limit()?;
    let (start, end) = (parameters.time("start", BEGINNING)?, parameters.time("end", END)?);
    let found = run(app, move |app| {
        let limit = if limit == usize::MAX { 0 } else { limit };
        ask(app, &Lookup { matchers: &matchers, start, end, limit })
    });
    let found = found.await?;
    Ok(ok_with(json!(found.items), if found.cut { &[CUT] } else { &[] }))
}

/// The name that `U__` begins the escaped form of: `_` doubled, other characters as `_HEX_`. Nothing if it is none, as
/// for Prometheus, which then takes it as it stands.
fn unescaped(name: &str) -> Option<String> {
    let mut rest = name.strip_prefix("U__")?;
    let mut out = String::new();
    while let Some(at) = rest.find('_') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('_') {
            out.push('_');
            rest = after;
            continue;
        }
        let (hex, after) = rest.split_once('_')?;
        let plain = (1..=6).contains(&hex.len()) && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
        out.push(plain.then(|| u32::from_str_radix(hex, 16).ok().and_then(char::from_u32)).flatten()?);
        rest = after;
    }
    out.push_str(rest);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_from_their_escaped_form() {
        assert_eq!(unescaped("U__http_2e_status").as_deref(), Some("http.status"));
        assert_eq!(unescaped("U__a__b").as_deref(), Some("a_b"));
        assert_eq!(unescaped("U___1f600_").as_deref(), Some("😀"));
        for none in ["job", "U__a_b", "U__a_zz_", "U___d800_", "U__a_2e"] {
            assert_eq!(unescaped(none), None, "{none}");
        }
    }
}
