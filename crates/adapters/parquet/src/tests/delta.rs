//! A delta: rows replace or add, codes keep their meaning.

use super::*;

const BASE: &str = "account_id,msisdn,commune_code,tags,slots.ten\n\
                    A1,0912345678,28777,dua,Lan\n\
                    A2,0912345679,29110,tom,An\n\
                    A3,0912345680,,dua|tom,Hoa\n";

#[test]
fn rows_replace_and_add() {
    let engine = Engine::new();
    engine.import(1, None, BASE).unwrap();
    let delta = "account_id,email,tags,slots.danh_xung,slots.ten\n\
                 A2,an@example.test,muoi,anh,An moi\n\
                 A4,ba@example.test,dua,ba,Ba\n\
                 A4,bon@example.test,dua,ba,Bon\n\
                 A5,khong,dua,ba,Nam\n";
    let Imported { report, rows } = engine.import(2, Some(1), delta).unwrap();
    assert_eq!((report.rows, report.accepted, report.rejected, report.duplicates), (4, 2, 1, 1));
    assert_eq!(rows, 4);
    let selected = |rule: &str| engine.count(2, rule).selected;
    assert_eq!(selected("has mobile"), 2, "A2's new row has no number");
    assert_eq!(selected("has email"), 2);
    assert_eq!(selected("tags contains dua"), 3);
    assert_eq!(selected("tags contains tom"), 1, "A2's tag was replaced");
    assert_eq!(selected("tags contains muoi"), 1);
    assert_eq!(selected("commune in (\"28777\", \"29110\")"), 1);
    // The older version is as it was.
    assert_eq!(engine.count(1, "has mobile").selected, 3);
    let manifest =
        manifest::VersionManifest::read(&engine.datasets.layout.version(Uuid::from_u128(2))).unwrap().unwrap();
    assert_eq!(manifest.slots, ["ten", "danh_xung"]);
    assert_eq!(manifest.tags, ["dua", "tom", "muoi"]);
}

#[test]
fn what_does_not_fit_the_base_is_refused() {
    let engine = Engine::new();
    engine.import(1, None, BASE).unwrap();
    engine.spool(2, BASE.as_bytes());
    let real = ImportJob { synthetic: false, ..job(2, Some(1)) };
    let refused = engine.datasets.import(&real, &Always).unwrap_err().to_string();
    assert!(refused.contains("synthetic: "), "{refused}");
    engine.spool(3, BASE.as_bytes());
    let missing = engine.datasets.import(&job(3, Some(9)), &Always).unwrap_err();
    assert!(matches!(missing, DatasetError::Missing { .. }), "{missing}");
}

#[test]
fn another_hash_key_is_noticed() {
    let engine = Engine::new();
    engine.import(1, None, BASE).unwrap();
    let other = HashKey::new([4; 16]);
    let other = ParquetDatasets::open(engine.directory.path(), other, 1, Arc::new(SystemClock::new())).unwrap();
    let damaged = other.count(Uuid::from_u128(1), &"has mobile".parse().unwrap()).unwrap_err().to_string();
    assert!(damaged.contains("another hash key"), "{damaged}");
}
