//! Alertmanager's acceptance scenarios that are about its API, by their names there.

use http::StatusCode;
use serde_json::{Value, json};

use crate::{SETTLE, Site, ask, play};

impl Site {
    /// Posts alerts as a Prometheus does; each is its labels.
    async fn post_alerts(&self, prefix: &str, alerts: &[Value]) {
        let now = self.stage.runtime.clock.now();
        let end = now + std::time::Duration::from_secs(300);
        let alerts: Vec<Value> =
            alerts.iter().map(|labels| json!({"labels": labels, "startsAt": now, "endsAt": end})).collect();
        let asked = ask("POST", format!("{prefix}/api/v2/alerts")).header("content-type", "application/json");
        let answer = self.send(asked.body(Value::from(alerts).to_string())).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    }

    /// The alerts that pass these filters.
    async fn query(&self, prefix: &str, filters: &[&str]) -> Vec<Value> {
        let filters: Vec<String> =
            filters.iter().map(|it| format!("filter={}", watchbell_runtime::client::escape(it))).collect();
        let answer = self.send(ask("GET", format!("{prefix}/api/v2/alerts?{}", filters.join("&")))).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        serde_json::from_str(&answer.body).unwrap()
    }
}

#[test]
fn test_add_alerts() {
    play(|site| async move {
        let labels = json!({"a": "b", "b": "Σ", "c": "🙂", "d": "eΘ"});
        site.post_alerts("", std::slice::from_ref(&labels)).await;
        let found = site.query("", &[]).await;
        assert_eq!((found.len(), &found[0]["labels"], &found[0]["status"]["state"]), (1, &labels, &json!("active")));
    });
}

#[test]
fn test_filter_alert_request() {
    play(|site| async move {
        let first = json!({"alertname": "test1", "severity": "warning"});
        site.post_alerts("", &[first.clone(), json!({"system": "foo", "severity": "critical"})]).await;
        let found = site.query("", &["alertname=test1", "severity=warning"]).await;
        assert_eq!((found.len(), &found[0]["labels"], &found[0]["status"]["state"]), (1, &first, &json!("active")));
        assert_eq!(site.query("", &["alertname=test1", "severity=critical"]).await, Vec::<Value>::new());
        let found = site.query("", &["system!=\"\""]).await;
        assert_eq!((found.len(), &found[0]["labels"]["system"]), (1, &json!("foo")));
    });
}

#[test]
fn test_web_with_prefix() {
    play(|site| async move {
        for path in ["/-/healthy", "/-/ready", "/api/v2/status", "/api/v2/receivers", "/api/v2/silences"] {
            let answer = site.send(ask("GET", format!("/alertmanager{path}"))).await;
            assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.body);
        }
        site.post_alerts("/alertmanager", &[json!({"alertname": "test1"})]).await;
        assert_eq!(site.query("/alertmanager", &["alertname=test1"]).await.len(), 1);
        assert_eq!(site.query("", &["alertname=test1"]).await.len(), 1, "it is the same one");
        let nothing = site.send(ask("GET", "/elsewhere/api/v2/alerts")).await;
        assert_eq!(nothing.status, StatusCode::NOT_FOUND);
    });
}

impl Site {
    /// Reads matchers and names as this Alertmanager's mode does.
    fn read_by(&self, mode: &str) {
        let matcher_mode = serde_json::from_value(json!(mode)).unwrap();
        let route = serde_json::from_value(json!({"receiver": "on-call"})).unwrap();
        self.stage.alerts.apply(&watchbell_alerts::Config { matcher_mode, route, ..Default::default() }).unwrap();
    }

    async fn posted(&self, path: &str, body: Value) -> (StatusCode, String) {
        let asked = ask("POST", path).header("content-type", "application/json");
        let answer = self.send(asked.body(body.to_string())).await;
        (answer.status, answer.body)
    }
}

#[test]
fn test_cannot_add_utf8_alerts_in_classic_mode() {
    play(|site| async move {
        site.read_by("classic-mode");
        let alerts = json!([{"labels": {"a": "a", "00": "b", "Σ": "c"}}, {"labels": {"a": "b"}}]);
        let refused = "\"`00` is not a label name in the mode `classic`\"".to_owned();
        assert_eq!(site.posted("/api/v2/alerts", alerts.clone()).await, (StatusCode::BAD_REQUEST, refused));
        let found = site.query("", &[]).await;
        assert_eq!((found.len(), &found[0]["labels"]), (1, &json!({"a": "b"})), "the other one is taken");
        let filter = watchbell_runtime::client::escape("\"Σ\"=c");
        let answer = site.send(ask("GET", format!("/api/v2/alerts?filter={filter}"))).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.body);
        site.read_by("utf8-strict-mode");
        assert_eq!(site.posted("/api/v2/alerts", alerts).await.0, StatusCode::OK);
        assert_eq!(site.query("", &["\"Σ\"=c"]).await.len(), 1);
    });
}

#[test]
fn test_cannot_add_utf8_silences_in_classic_mode() {
    play(|site| async move {
        site.read_by("classic");
        let silence = |name: &str| {
            let now = site.stage.runtime.clock.now();
            let matcher = json!({"name": name, "value": "b", "isRegex": false, "isEqual": true});
            let end = now + std::time::Duration::from_secs(60);
            json!({"matchers": [matcher], "startsAt": now, "endsAt": end, "createdBy": "me", "comment": "why"})
        };
        let refused = "\"`Σ` is not a label name in the mode `classic`\"".to_owned();
        assert_eq!(site.posted("/api/v2/silences", silence("Σ")).await, (StatusCode::BAD_REQUEST, refused));
        assert_eq!(site.posted("/api/v2/silences", silence("a")).await.0, StatusCode::OK);
        site.read_by("fallback");
        assert_eq!(site.posted("/api/v2/silences", silence("Σ")).await.0, StatusCode::OK);
    });
}

/// What a route says of its groups is in the list of groups, written over them.
#[test]
fn groups_have_the_labels_of_their_route() {
    play(|site| async move {
        let route = json!({"receiver": "on-call", "group_by": ["alertname"], "group_wait": "1s", "labels": {
            "reason": "{{ .GroupLabels.alertname }}",
            "description": "{{ routeLabels \"reason\" }} of {{ len .Alerts.Firing }} in {{ .Receiver }}",
            "wrong": "{{ template \"none\" }}",
        }});
        let route = serde_json::from_value(route).unwrap();
        site.stage.alerts.apply(&watchbell_alerts::Config { route, ..Default::default() }).unwrap();
        let both = [json!({"alertname": "DiskFull", "host": "a"}), json!({"alertname": "DiskFull", "host": "b"})];
        site.post_alerts("", &both).await;
        site.stage.runtime.clock.sleep(SETTLE).await;
        let answer = site.send(ask("GET", "/api/v2/alerts/groups")).await;
        let groups: Value = serde_json::from_str(&answer.body).unwrap();
        let expected = json!({"description": "DiskFull of 2 in on-call", "reason": "DiskFull"});
        assert_eq!(groups[0]["routeLabels"], expected);
    });
}
