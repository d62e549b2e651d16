//! Troubles of watchbell itself become alarms and end with them.

use expect_test::expect;
use watchbell_model::{AlarmState, Alert, Severity};
use watchbell_runtime::sim;

use crate::world::{Disk, desired, monitor};

#[test]
fn a_trouble_is_an_alarm_while_it_lasts() {
    sim::run(1, |world| async move {
        let disk = Disk::new(world);
        let bell = disk.start(desired(&[], &[])).await;
        bell.wait("1m").await;
        bell.runtime.troubles.set("config", Severity::Warning, "the file is refused");
        bell.wait("1s").await;
        bell.runtime.troubles.set("config", Severity::Critical, "the file is still refused");
        bell.wait("1s").await;
        bell.runtime.troubles.clear("config");
        bell.wait("1s").await;
        expect![[r#"
            1m firing self/config: watchbell: the file is refused
            1m1s resolved self/config: watchbell: the file is refused [it goes on under other labels]
            1m1s firing self/config: watchbell: the file is still refused
            1m2s resolved self/config: watchbell: the file is still refused [it is over]
        "#]]
        .assert_eq(&disk.raised.take());
        assert_eq!(bell.alarms.status("self/config").unwrap().state, AlarmState::Ok);
    });
}

#[test]
fn after_a_restart_a_trouble_has_time_to_be_found_again() {
    sim::run(1, |world| async move {
        let disk = Disk::new(world);
        let bell = disk.start(desired(&[], &[])).await;
        bell.runtime.troubles.set("store", Severity::Critical, "it is full");
        bell.runtime.troubles.set("config", Severity::Critical, "it is refused");
        bell.wait("1m").await;
        bell.crash();
        let bell = disk.start(desired(&[], &[])).await;
        bell.wait("1m").await;
        bell.runtime.troubles.set("store", Severity::Critical, "it is full");
        bell.wait("10m").await;
        expect![[r#"
            0s firing self/config: watchbell: it is refused
            0s firing self/store: watchbell: it is full
            3m resolved self/config: watchbell: it is refused [it is over]
        "#]]
        .assert_eq(&disk.raised.take());
    });
}

#[test]
fn no_results_are_not_told_while_the_own_network_is_down_and_are_when_it_is_back() {
    sim::run(1, |world| async move {
        let disk = Disk::new(world);
        let bell = disk.start(desired(&[monitor("IMAP", 0)], &[])).await;
        bell.probe("IMAP", None).await.unwrap();
        bell.wait("1m").await;
        bell.runtime.troubles.set("own-network", Severity::Critical, "nothing outside answers");
        bell.wait("10m").await;
        bell.runtime.troubles.clear("own-network");
        bell.wait("1m").await;
        bell.probe("IMAP", None).await.unwrap();
        bell.wait("1m").await;
        expect![[r#"
            1m firing self/own-network: watchbell: nothing outside answers
            11m resolved self/own-network: watchbell: nothing outside answers [it is over]
            11m firing self/no-results: watchbell: no results of 1 monitor: IMAP
            12m resolved self/no-results: watchbell: no results of 1 monitor: IMAP [it is over]
        "#]]
        .assert_eq(&disk.raised.take());
    });
}

#[test]
fn troubles_of_networks_and_places_have_names_of_their_own() {
    sim::run(1, |world| async move {
        let disk = Disk::new(world);
        let bell = disk.start(desired(&[], &[])).await;
        for key in ["own-network", "own-network/fra", "place/fra", "place-clock/fra"] {
            bell.runtime.troubles.set(key, Severity::Critical, "so it is");
        }
        bell.wait("1s").await;
        let named = |alert: &Alert| {
            let place = alert.labels.get("place").unwrap_or("-");
            format!("{} {} {place}", alert.labels.get("source").unwrap_or_default(), alert.name())
        };
        let named: Vec<String> = disk.raised.firing().iter().map(named).collect();
        expect![[r#"
            self/own-network OwnNetworkDown -
            self/own-network/fra OwnNetworkDown fra
            self/place-clock/fra WatchbellTrouble -
            self/place/fra PlaceSilent fra"#]]
        .assert_eq(&named.join("\n"));
    });
}
