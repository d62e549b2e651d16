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
