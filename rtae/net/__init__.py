"""Voice over the network: one-way RTP over UDP, an adaptive jitter buffer, a sender and a receiver."""
