"""Redis: a server that several processes share for streams, caches and notices, where one is set."""
