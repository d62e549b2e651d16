//! `browser:` of a monitor: the steps of a person who uses a site.

use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_model::{Path, Problems, Secret, Span, Url};

/// The most steps of a monitor.
pub const BROWSER_STEPS_MAX: usize = 50;

/// A site as a person uses it: a browser of this machine goes through steps, each of which must work. Each probe has a
/// fresh profile.
#[derive(Debug, Clone, PartialEq, Hash, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BrowserConfig {
    /// What is done, one after the other; the first is `open`.
    pub steps: Vec<StepConfig>,
    /// How long a step waits for what it needs: for an element to be there, for a text to appear. Pages that are opened
    /// may take as long as the probe.
    #[serde(default = "BrowserConfig::default_patience")]
    pub patience: Span,
    /// Whether certificates must be good.
    #[serde(default = "watchbell_model::yes")]
    pub verify: bool,
    /// Whether errors in the browser's console count as down: of scripts, and of parts of pages that cannot be had.
    #[serde(default)]
    pub console_error_is_down: bool,
}

/// A step. Exactly one of the keys says what is done.
///
/// A selector is one of CSS, or `text=Sign in` for what shows exactly this; of several that fit, the first visible one
/// counts.
#[derive(Debug, Clone, Default, PartialEq, Hash, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StepConfig {
    /// Opens an address, and waits until the page is loaded. An answer with a status of 400 or more is a failure.
    #[serde(default)]
    pub open: Option<Url>,
    /// Clicks on an element, once it can be clicked on.
    #[serde(default)]
    pub click: Option<String>,
    /// Types into a field, in place of what is in it, or chooses from a list.
    #[serde(default)]
    pub fill: Option<FillConfig>,
    /// Presses a key, such as `Enter`, `Tab`, `Escape`, `ArrowDown` or `a`.
    #[serde(default)]
    pub press: Option<String>,
    /// Waits until an element is visible.
    #[serde(default)]
    pub wait: Option<String>,
    /// An element must contain a text.
    #[serde(default)]
    pub expect: Option<ExpectConfig>,
    /// The page must show this text.
    #[serde(default)]
    pub expect_text: Option<String>,
    /// The title of the page must contain this.
    #[serde(default)]
    pub expect_title: Option<String>,
    /// The address of the page must contain this.
    #[serde(default)]
    pub expect_url: Option<String>,
    /// An expression in JavaScript that must be true; a promise is waited for.
    #[serde(default)]
    pub script: Option<String>,
}

/// What is typed, and where.
#[derive(Debug, Clone, PartialEq, Hash, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FillConfig {
    /// The field.
    pub selector: String,
    /// What is typed; of a list, the choice. It is never told, passwords best as `${secret:name}`.
    pub value: Secret,
}

/// What an element must say.
#[derive(Debug, Clone, PartialEq, Hash, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExpectConfig {
    /// The element.
    pub selector: String,
    /// What it must contain, in the same case.
    pub text: String,
}

/// What a step does.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step<'a> {
    Open(&'a Url),
    Click(&'a str),
    Fill(&'a FillConfig),
    Press(&'a str),
    Wait(&'a str),
    Expect(&'a ExpectConfig),
    ExpectText(&'a str),
    ExpectTitle(&'a str),
    ExpectUrl(&'a str),
    Script(&'a str),
}

impl Step<'_> {
    /// The key in the configuration.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Step::Open(_) => "open",
            Step::Click(_) => "click",
            Step::Fill(_) => "fill",
            Step::Press(_) => "press",
            Step::Wait(_) => "wait",
            Step::Expect(_) => "expect",
            Step::ExpectText(_) => "expect_text",
            Step::ExpectTitle(_) => "expect_title",
            Step::ExpectUrl(_) => "expect_url",
            Step::Script(_) => "script",
        }
    }

    /// What it is done to, as the configuration says.
    pub(super) fn subject(&self) -> &str {
        match self {
            Step::Open(url) => url.as_str(),
            Step::Fill(FillConfig { selector, .. }) | Step::Expect(ExpectConfig { selector, .. }) => selector,
            Step::Click(text)
            | Step::Press(text)
            | Step::Wait(text)
            | Step::ExpectText(text)
            | Step::ExpectTitle(text)
            | Step::ExpectUrl(text)
            | Step::Script(text) => text,
        }
    }
}

impl StepConfig {
    /// What is given: one, if the configuration is right.
    pub(super) fn given(&self) -> Vec<Step<'_>> {
        [
            self.open.as_ref().map(Step::Open),
            self.click.as_deref().map(Step::Click),
            self.fill.as_ref().map(Step::Fill),
            self.press.as_deref().map(Step::Press),
            self.wait.as_deref().map(Step::Wait),
            self.expect.as_ref().map(Step::Expect),
            self.expect_text.as_deref().map(Step::ExpectText),
            self.expect_title.as_deref().map(Step::ExpectTitle),
            self.expect_url.as_deref().map(Step::ExpectUrl),
            self.script.as_deref().map(Step::Script),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn check(&self, path: &Path, problems: &mut Problems) {
        let given = self.given();
        let [step] = given.as_slice() else {
            let kinds: Vec<&str> = given.iter().map(Step::kind).collect();
            match given.is_empty() {
                true => problems.error(path, "the step does nothing").hint(
                    "one of `open`, `click`, `fill`, `press`, `wait`, `expect`, `expect_text`, `expect_title`, `expect_url` and `script`",
                ),
                false => problems
                    .error(path, format!("the step does {} things at once: {}", given.len(), kinds.join(", ")))
                    .hint("make a step of each, one after the other: put a `-` before it"),
            };
            return;
        };
        let path = path.field(step.kind());
        if step.subject().trim().is_empty() {
            problems.error(&path, "it is empty").hint("an empty selector fits nothing, and an empty text everything");
        }
        match step {
            Step::Expect(ExpectConfig { text, .. }) if text.is_empty() => {
                problems
                    .error(&path.field("text"), "every element contains an empty text")
                    .hint("use `wait` for an element that must merely be visible");
            }
            Step::Press(key) if super::keys::key(key).is_none() => {
                problems
                    .error(&path, format!("`{key}` is not a key"))
                    .hint(format!("one character, or one of `{}`", super::keys::names().join("`, `")));
            }
            _ => {}
        }
    }
}

impl BrowserConfig {
    fn default_patience() -> Span {
        Span::seconds(5)
    }

    pub(super) fn check_all(&self, path: &Path, problems: &mut Problems) {
        if self.patience.is_zero() {
            problems
                .error(&path.field("patience"), "no page is as fast as that")
                .hint(format!("the default is `{}`", BrowserConfig::default_patience()));
        }
        let steps = path.field("steps");
        if self.steps.len() > BROWSER_STEPS_MAX {
            problems
                .error(&steps, format!("{} steps are too many", self.steps.len()))
                .hint(format!("at most {BROWSER_STEPS_MAX}: make two monitors of it"));
        }
        if self.steps.first().is_none_or(|step| step.open.is_none()) {
            problems
                .error(&steps, "the first step does not open a page")
                .hint("such as `- open: https://www.example.org/`");
        }
        for (at, step) in self.steps.iter().enumerate() {
            step.check(&steps.index(at), problems);
        }
    }
}
