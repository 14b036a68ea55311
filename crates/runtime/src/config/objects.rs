//! `[objects]`: the object store that dataset versions and freezes are kept in, in place of a folder that nodes share.

use std::path::PathBuf;

use loa_ports::carrier::Secret;

use super::accounts::secret;
use super::section::Section;

/// Bytes of a prefix, at most; a name of S3 has at most 1,024.
const PREFIX_BYTES_MAX: usize = 256;

/// `[objects]`
#[derive(Debug, Clone)]
pub struct ObjectsConfig {
    /// Where the store is: `https://host:port`.
    pub url: String,
    /// The bucket, which exists.
    pub bucket: String,
    /// Stands before the name of every object; installations that share a bucket have one each.
    pub prefix: String,
    /// The region that requests are signed for.
    pub region: String,
    /// Who asks.
    pub access_key: String,
    /// And by which key.
    pub secret_key: Secret,
    /// PEM of the CA by which the store is known; absent = the system's.
    pub ca: Option<PathBuf>,
}

/// Where objects are kept, if an object store is used.
pub(super) fn read(section: Section<'_>) -> Option<ObjectsConfig> {
    let keys = ["bucket", "prefix", "region", "access_key", "secret_key", "tls_ca"];
    if !section.has("url") {
        for key in keys.into_iter().filter(|key| section.has(key)) {
            section.fault(key, "needs objects.url");
            drop(section.optional_text(key));
        }
        section.finish();
        return None;
    }
    let config = ObjectsConfig {
        url: section.text("url"),
        bucket: section.text("bucket"),
        prefix: section.optional_text("prefix").unwrap_or_default(),
        region: section.optional_text("region").unwrap_or_else(|| "us-east-1".to_owned()),
        access_key: section.text("access_key"),
        secret_key: Secret(secret(&section, "secret_key")),
        ca: section.optional_text("tls_ca").map(PathBuf::from),
    };
    if !config.url.starts_with("http://") && !config.url.starts_with("https://") {
        section.fault("url", "must be like https://objects.example:9000");
    }
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte);
    let parts = || config.prefix.split('/');
    if config.prefix.len() > PREFIX_BYTES_MAX
        || !config.prefix.bytes().all(is_plain)
        || !config.prefix.is_empty() && parts().any(|part| ["", ".", ".."].contains(&part))
    {
        let problem = format!("use up to {PREFIX_BYTES_MAX} of letters, digits, - _ . and single / between names");
        section.fault("prefix", problem);
    }
    section.finish();
    Some(config)
}

#[cfg(test)]
mod tests {
    use super::super::backing::tests::{check, faulty};

    const WHOLE: &str =
        "[objects]\nurl = \"https://store:9000\"\nbucket = \"loa\"\naccess_key = \"loa\"\nsecret_key = \"hidden\"\n";

    #[test]
    fn a_store_is_read_and_its_key_never_shown() {
        assert!(check("").unwrap().objects.is_none());
        let config = check(&format!("{WHOLE}prefix = \"ben-tre/2\"\ntls_ca = \"ca.pem\"\n")).unwrap();
        let objects = config.objects.as_ref().unwrap();
        assert_eq!((objects.prefix.as_str(), objects.region.as_str()), ("ben-tre/2", "us-east-1"));
        assert!(!format!("{config:?}").contains("hidden"), "a secret is never shown");
    }

    #[test]
    fn what_does_not_fit_is_named() {
        faulty("[objects]\nbucket = \"loa\"\n", &["objects.bucket"]);
        faulty(
            "[objects]\nurl = \"store:9000\"\n",
            &["objects.bucket", "objects.access_key", "objects.secret_key", "objects.url"],
        );
        faulty(&format!("{WHOLE}prefix = \"a//b\"\n"), &["objects.prefix"]);
        faulty(&format!("{WHOLE}prefix = \"../b\"\n"), &["objects.prefix"]);
        faulty(&format!("{WHOLE}folder = \"a\"\n"), &["objects.folder"]);
    }
}
