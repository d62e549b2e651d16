//! Troubles of watchbell itself become alarms and end with them.

use expect_test::expect;
use watchbell_model::{AlarmState, Severity};
use watchbell_runtime::sim;

use crate::world::{Disk, desired};

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
