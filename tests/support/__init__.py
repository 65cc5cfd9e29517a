"""What tests share: real servers, real daemons, and helpers to wait for conditions."""
