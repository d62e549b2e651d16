//! The parameters of requests, read as Prometheus reads them.

use axum::Form;
use axum::extract::{FromRequest, Query as UrlQuery, Request};
use http::{Method, header};
use watchbell_model::{Matcher, Span, Timestamp};
use watchbell_query::promql;

use super::{BEGINNING, END, Refused};
use crate::App;
use crate::guard::REQUEST_TIME_MAX;

/// The parameters of a request: of its address, and of its body if that is a form.
pub(crate) struct Parameters(Vec<(String, String)>);

impl FromRequest<App> for Parameters {
    type Rejection = Refused;

    async fn from_request(request: Request, app: &App) -> Result<Parameters, Refused> {
        let bad = |error: String| Refused::BadData(format!("error parsing form values: {error}"));
        let UrlQuery(mut all) =
            UrlQuery::<Vec<(String, String)>>::try_from_uri(request.uri()).map_err(|error| bad(error.body_text()))?;
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
        if request.method() == Method::POST && kind.starts_with("application/x-www-form-urlencoded") {
            let form = Form::<Vec<(String, String)>>::from_request(request, app);
            let form = app.runtime.clock.timeout(REQUEST_TIME_MAX, form).await;
            let form = form.map_err(|_| bad("the form took too long to arrive".into()))?;
            let Form(form) = form.map_err(|error| bad(error.body_text()))?;
            // As in Prometheus, the body's come first.
            all.splice(0..0, form);
        }
        Ok(Parameters(all))
    }
}

/// How Prometheus' clients write "from the beginning" and "to the end".
const MIN_TIME: &str = "-292273086-05-16T16:47:06Z";
const MAX_TIME: &str = "292277025-08-18T07:12:54.999999999Z";

impl Parameters {
    /// The first value of a parameter; an empty one is none.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// Every value of a parameter.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(have, _)| have == name).map(|(_, value)| value.as_str())
    }

    /// A time that may be left out.
    pub(crate) fn time(&self, name: &str, otherwise: Timestamp) -> Result<Timestamp, Refused> {
        let Some(text) = self.get(name) else { return Ok(otherwise) };
        time(text).ok_or_else(|| {
            invalid(name, format!("invalid time value for '{name}': cannot parse {text:?} to a valid timestamp"))
        })
    }

    /// A time that must be there.
    pub(super) fn moment(&self, name: &str) -> Result<Timestamp, Refused> {
        let text = self.get(name).unwrap_or("");
        time(text).ok_or_else(|| invalid(name, format!("cannot parse {text:?} to a valid timestamp")))
    }

    /// A length of time; those below zero are none.
    pub(crate) fn span(&self, name: &str) -> Result<Option<Span>, Refused> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let reason = || invalid(name, format!("cannot parse {text:?} to a valid duration"));
        if let Ok(seconds) = text.parse::<f64>() {
            if seconds.is_finite() && seconds.abs() > i64::MAX as f64 / 1e9 {
                let reason = format!("cannot parse {text:?} to a valid duration. It overflows int64");
                return Err(invalid(name, reason));
            }
            let span = std::time::Duration::try_from_secs_f64(seconds.max(0.0)).map_err(|_| reason())?;
            return Ok(Some(Span(span)));
        }
        text.parse().map(Some).map_err(|_| reason())
    }

    /// The expression of `query`, in the language that is switched on.
    pub(super) fn expr(&self, app: &App) -> Result<promql::Expr, Refused> {
        let error = |error| invalid("query", parse_error(&error));
        promql::parse_with(self.query(), app.config.query().features()).map_err(error)
    }

    /// The text of `query`.
    pub(super) fn query(&self) -> &str {
        self.get("query").unwrap_or("")
    }

    /// The selectors of `match[]`, each with its error in Prometheus' words.
    pub(super) fn sets(&self) -> Result<Vec<Vec<Matcher>>, String> {
        let one = |text| {
            promql::metric_selector(text).map_err(|error| match error.message.contains("would select every series") {
                true => "match[] must contain at least one non-empty matcher".to_owned(),
                false => parse_error(&error),
            })
        };
        self.all("match[]").map(one).collect()
    }

    /// The selectors of `match[]`.
    pub(crate) fn selectors(&self) -> Result<Vec<Vec<Matcher>>, Refused> {
        self.sets().map_err(|error| invalid("match[]", error))
    }

    /// The most answers that are wanted; nothing and zero mean all.
    pub(crate) fn limit(&self) -> Result<usize, Refused> {
        let Some(text) = self.get("limit") else { return Ok(usize::MAX) };
        let limit = whole(text).map_err(|error| invalid("limit", error))?;
        match usize::try_from(limit) {
            Ok(0) => Ok(usize::MAX),
            Ok(limit) => Ok(limit),
            Err(_) => Err(invalid("limit", "limit must be non-negative".into())),
        }
    }
}

/// As [`Parameters::time`] reads it.
fn time(text: &str) -> Option<Timestamp> {
    match text {
        MIN_TIME => return Some(BEGINNING),
        MAX_TIME => return Some(END),
        _ => {}
    }
    let seconds = text.parse::<f64>().ok().filter(|seconds| seconds.abs() <= END.as_seconds());
    seconds.map(Timestamp::from_seconds).or_else(|| Timestamp::parse_rfc3339(text))
}

/// A whole number, or Go's words for what is none.
pub(super) fn whole(text: &str) -> Result<i64, String> {
    text.parse::<i64>().map_err(|error| {
        let reason = match error.kind() {
            std::num::IntErrorKind::PosOverflow | std::num::IntErrorKind::NegOverflow => "value out of range",
            _ => "invalid syntax",
        };
        format!("strconv.Atoi: parsing {text:?}: {reason}")
    })
}

fn parse_error(error: &promql::ParseError) -> String {
    let hint = error.hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default();
    format!("{}:{}: parse error: {}{hint}", error.line, error.column, error.message)
}

/// Says no to a parameter.
pub(crate) fn invalid(name: &str, reason: String) -> Refused {
    Refused::BadData(format!("invalid parameter {name:?}: {reason}"))
}
