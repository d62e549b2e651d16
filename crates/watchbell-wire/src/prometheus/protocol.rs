//! What a scraper asks for and what it got: the `Accept` header, the `Content-Type`, as Prometheus negotiates them.

use super::Format;

/// A format in which targets say their metrics, by Prometheus' name for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// `PrometheusProto`: protobuf messages, the only one with native histograms.
    PrometheusProto,
    /// `OpenMetricsText0.0.1`
    OpenMetricsText0,
    /// `OpenMetricsText1.0.0`
    OpenMetricsText1,
    /// `PrometheusText0.0.4`
    PrometheusText0,
    /// `PrometheusText1.0.0`
    PrometheusText1,
}

/// What becomes of names that are not identifiers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Escaping {
    /// They stay as they are.
    #[default]
    AllowUtf8,
    /// What does not fit becomes `_`.
    Underscores,
    /// A dot becomes `_dot_`, an underscore `__`, the rest `_`.
    Dots,
    /// What does not fit becomes its number in hexadecimal between underscores.
    Values,
}

impl Escaping {
    /// As the header and the configuration write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Escaping::AllowUtf8 => "allow-utf-8",
            Escaping::Underscores => "underscores",
            Escaping::Dots => "dots",
            Escaping::Values => "values",
        }
    }
}

impl Protocol {
    /// How many there are.
    const COUNT: usize = 5;

    /// What is asked for unless the configuration says otherwise, the best first.
    pub fn defaults(native_histograms: bool) -> Vec<Protocol> {
        use Protocol::{OpenMetricsText0, OpenMetricsText1, PrometheusProto, PrometheusText0, PrometheusText1};
        let text = [OpenMetricsText1, OpenMetricsText0, PrometheusText1, PrometheusText0];
        native_histograms.then_some(PrometheusProto).into_iter().chain(text).collect()
    }

    fn header(self) -> &'static str {
        match self {
            Protocol::PrometheusProto => {
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
            }
            Protocol::OpenMetricsText0 => "application/openmetrics-text;version=0.0.1",
            Protocol::OpenMetricsText1 => "application/openmetrics-text;version=1.0.0",
            Protocol::PrometheusText0 => "text/plain;version=0.0.4",
            Protocol::PrometheusText1 => "text/plain;version=1.0.0",
        }
    }

    /// How its bodies are read.
    pub fn format(self) -> Format {
        match self {
            Protocol::PrometheusProto => Format::Protobuf,
            Protocol::OpenMetricsText0 | Protocol::OpenMetricsText1 => Format::OpenMetrics,
            Protocol::PrometheusText0 | Protocol::PrometheusText1 => Format::Text,
        }
    }
}

/// The `Accept` header that asks for these, the best first, as Prometheus writes it.
pub fn accept(protocols: &[Protocol], escaping: Escaping) -> String {
    let mut header = String::new();
    let mut weight = Protocol::COUNT + 1;
    for protocol in protocols.iter().take(Protocol::COUNT) {
        header += protocol.header();
        if matches!(protocol, Protocol::OpenMetricsText1 | Protocol::PrometheusText1) {
            header += &format!(";escaping={}", escaping.as_str());
        }
        header += &format!(";q=0.{weight},");
        weight -= 1;
    }
    header + &format!("*/*;q=0.{weight}")
}

/// The format that a `Content-Type` header names, or the fallback where it names none that is known. The errors are
/// Prometheus' own words.
pub fn format_of(content_type: &str, fallback: Option<Protocol>) -> Result<Format, String> {
    let media = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let refuse = |reason: String| fallback.map(Protocol::format).ok_or(reason);
    match media.as_str() {
        "application/openmetrics-text" => Ok(Format::OpenMetrics),
        "application/vnd.google.protobuf" => Ok(Format::Protobuf),
        "text/plain" => Ok(Format::Text),
        "" if content_type.is_empty() => refuse(
            "non-compliant scrape target sending blank Content-Type and no fallback_scrape_protocol specified for target"
                .into(),
        ),
        media if !media.contains('/') || media.contains(' ') => {
            refuse(format!("cannot parse Content-Type {content_type:?} and no fallback_scrape_protocol for target"))
        }
        _ => refuse(format!(
            "received unsupported Content-Type {content_type:?} and no fallback_scrape_protocol specified for target"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn what_is_asked_for() {
        expect!["application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"]
            .assert_eq(&accept(&Protocol::defaults(false), Escaping::AllowUtf8));
        expect!["application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,text/plain;version=1.0.0;escaping=underscores;q=0.5,*/*;q=0.4"]
            .assert_eq(&accept(&[Protocol::PrometheusProto, Protocol::PrometheusText1], Escaping::Underscores));
    }

    #[test]
    fn what_was_sent() {
        let said = |header: &str, fallback| format!("{:?}", format_of(header, fallback));
        assert_eq!(said("text/plain; version=0.0.4", None), "Ok(Text)");
        assert_eq!(said("application/openmetrics-text; version=1.0.0; charset=utf-8", None), "Ok(OpenMetrics)");
        assert_eq!(said("", Some(Protocol::PrometheusText0)), "Ok(Text)");
        assert_eq!(said("text/html", Some(Protocol::OpenMetricsText1)), "Ok(OpenMetrics)");
        let errors: Vec<String> = ["", "text/html", "nonsense"].map(|it| format_of(it, None).unwrap_err()).into();
        expect![[r#"
            non-compliant scrape target sending blank Content-Type and no fallback_scrape_protocol specified for target
            received unsupported Content-Type "text/html" and no fallback_scrape_protocol specified for target
            cannot parse Content-Type "nonsense" and no fallback_scrape_protocol for target"#]]
        .assert_eq(&errors.join("\n"));
    }
}
