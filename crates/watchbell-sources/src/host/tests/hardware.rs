//! What only some machines have.

use std::path::Path;

use expect_test::expect;
use watchbell_model::Timestamp;

use super::{collect, files, host, only, sim, told};

#[test]
fn sensors() {
    sim::run(1, |world| async move {
        files(
            &world,
            &[
                ("/sys/devices/platform/coretemp.0/x", ""),
                ("/sys/class/hwmon/hwmon0/name", "coretemp\n"),
                ("/sys/class/hwmon/hwmon0/temp1_input", "45000\n"),
                ("/sys/class/hwmon/hwmon0/temp1_crit", "100000\n"),
                ("/sys/class/hwmon/hwmon0/temp1_label", "Package \"0\"\n"),
                ("/sys/class/hwmon/hwmon0/fan1_input", "1200\n"),
                ("/sys/class/hwmon/hwmon0/in0_input", "3300\n"),
                ("/sys/class/hwmon/hwmon0/energy1_input", "2500000\n"),
                ("/sys/class/hwmon/hwmon0/power1_average", "1500000\n"),
                ("/sys/class/hwmon/hwmon0/fan1_alarm", "1\n"),
                ("/sys/class/hwmon/hwmon0/uevent", "x\n"),
            ],
        );
        world.disk.link(Path::new("/sys/class/hwmon/hwmon0/device"), Path::new("/sys/devices/platform/coretemp.0"));
        let mut host = host(only(&["hwmon"]), &world.runtime());
        expect![[r#"
            node_hwmon_chip_names{chip="platform_coretemp_0",chip_name="coretemp"} 1
            node_hwmon_energy_joule_total{chip="platform_coretemp_0",sensor="energy1"} 2.5
            node_hwmon_fan_alarm{chip="platform_coretemp_0",sensor="fan1"} 1
            node_hwmon_fan_rpm{chip="platform_coretemp_0",sensor="fan1"} 1200
            node_hwmon_in_volts{chip="platform_coretemp_0",sensor="in0"} 3.3000000000000003
            node_hwmon_power_average_watt{chip="platform_coretemp_0",sensor="power1"} 1.5
            node_hwmon_sensor_label{chip="platform_coretemp_0",sensor="temp1",label="Package \"0\""} 1
            node_hwmon_temp_crit_celsius{chip="platform_coretemp_0",sensor="temp1"} 100
            node_hwmon_temp_celsius{chip="platform_coretemp_0",sensor="temp1"} 45
        "#]]
        .assert_eq(&told(&mut host, Timestamp(0)));
    });
}

#[test]
fn arrays_of_disks() {
    let mdstat = "Personalities : [raid1]
md0 : active raid1 sdb1[2](F) sda1[0]
      248896 blocks [2/1] [U_]

md1 : active raid5 sdc1[3](S) sdb2[1] sda2[0]
      1000 blocks super 1.2 level 5, 64k chunk, algorithm 2 [3/2] [UU_]
      [=>....]  recovery =  5.0% (50/500) finish=1.0min speed=1K/sec
      bitmap: 0/1 pages

md2 : inactive sdd1[0](S)
      77 blocks super 1.2

unused devices: <none>
";
    expect![[r#"
        node_md_disks_required{device="md0"} 2
        node_md_disks{device="md0",state="active"} 1
        node_md_disks{device="md0",state="failed"} 1
        node_md_disks{device="md0",state="spare"} 0
        node_md_state{device="md0",state="active"} 1
        node_md_blocks{device="md0"} 248896
        node_md_blocks_synced{device="md0"} 248896
        node_md_disks_required{device="md1"} 3
        node_md_disks{device="md1",state="active"} 2
        node_md_disks{device="md1",state="failed"} 0
        node_md_disks{device="md1",state="spare"} 1
        node_md_state{device="md1",state="recovering"} 1
        node_md_blocks{device="md1"} 1000
        node_md_blocks_synced{device="md1"} 50
        node_md_disks_required{device="md2"} 0
        node_md_disks{device="md2",state="active"} 0
        node_md_disks{device="md2",state="failed"} 0
        node_md_disks{device="md2",state="spare"} 1
        node_md_state{device="md2",state="inactive"} 1
        node_md_blocks{device="md2"} 77
        node_md_blocks_synced{device="md2"} 77
        node_md_raid_disks{device="md0"} 2
        node_md_degraded{device="md0"} 1
    "#]]
    .assert_eq(
        &collect(
            &["mdadm"],
            &[
                ("/proc/mdstat", mdstat),
                ("/sys/block/md0/md/level", "raid1\n"),
                ("/sys/block/md0/md/raid_disks", "2\n"),
                ("/sys/block/md0/md/degraded", "1\n"),
                ("/sys/block/sda/size", "1\n"),
            ],
        )
        .lines()
        .filter(|line| !(line.starts_with("node_md_state") && line.ends_with(" 0")))
        .map(|line| format!("{line}\n"))
        .collect::<String>(),
    );
}

#[test]
fn memory_modules_power_temperatures_and_watchdogs() {
    let mc = "/sys/devices/system/edac/mc/mc0";
    expect![[r#"
        node_dmi_info{bios_vendor="Maker",system_vendor="Other"} 1
        node_edac_correctable_errors_total{controller="0"} 1
        node_edac_csrow_correctable_errors_total{controller="0",csrow="unknown"} 2
        node_edac_uncorrectable_errors_total{controller="0"} 5
        node_edac_csrow_uncorrectable_errors_total{controller="0",csrow="unknown"} 6
        node_edac_csrow_correctable_errors_total{controller="0",csrow="1"} 3
        node_edac_csrow_uncorrectable_errors_total{controller="0",csrow="1"} 4
        node_edac_channel_correctable_errors_total{controller="0",csrow="1",channel="0",dimm_label="CPU_SrcID_0"} 7
        node_power_supply_capacity{power_supply="BAT0"} 81
        node_power_supply_energy_watthour{power_supply="BAT0"} 36.58
        node_power_supply_temp_celsius{power_supply="BAT0"} 30.5
        node_power_supply_info{power_supply="BAT0",status="Discharging"} 1
        node_rapl_core_joules_total{index="0",path="/sys/class/powercap/intel-rapl:0:0"} 0.5
        node_thermal_zone_temp{zone="0",type="acpitz"} 12.376
        node_watchdog_timeout_seconds{name="watchdog0"} 60
        node_watchdog_info{name="watchdog0",identity="Software"} 1
    "#]]
    .assert_eq(&collect(
        &["dmi", "edac", "powersupplyclass", "rapl", "thermal_zone", "watchdog"],
        &[
            ("/sys/class/dmi/id/bios_vendor", "Maker\n"),
            ("/sys/class/dmi/id/sys_vendor", "Other\n"),
            ("/sys/class/dmi/id/board_name", "\n"),
            (&format!("{mc}/ce_count"), "1\n"),
            (&format!("{mc}/ce_noinfo_count"), "2\n"),
            (&format!("{mc}/ue_count"), "5\n"),
            (&format!("{mc}/ue_noinfo_count"), "6\n"),
            (&format!("{mc}/csrow1/ce_count"), "3\n"),
            (&format!("{mc}/csrow1/ue_count"), "4\n"),
            (&format!("{mc}/csrow1/ch0_ce_count"), "7\n"),
            (&format!("{mc}/csrow1/ch0_dimm_label"), "CPU_SrcID#_0\n"),
            ("/sys/class/power_supply/BAT0/capacity", "81\n"),
            ("/sys/class/power_supply/BAT0/energy_now", "36580000\n"),
            ("/sys/class/power_supply/BAT0/temp", "305\n"),
            ("/sys/class/power_supply/BAT0/status", "Discharging\n"),
            ("/sys/class/powercap/intel-rapl/enabled", "1\n"),
            ("/sys/class/powercap/intel-rapl:0:0/name", "core\n"),
            ("/sys/class/powercap/intel-rapl:0:0/energy_uj", "500000\n"),
            ("/sys/class/thermal/thermal_zone0/temp", "12376\n"),
            ("/sys/class/thermal/thermal_zone0/type", "acpitz\n"),
            ("/sys/class/thermal/thermal_zone1/type", "off\n"),
            ("/sys/class/watchdog/watchdog0/timeout", "60\n"),
            ("/sys/class/watchdog/watchdog0/identity", "Software\n"),
        ],
    ));
}
