"""VEX: what is said about vulnerabilities in our repositories, out as documents and in as suppressions and confirmations."""
