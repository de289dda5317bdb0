//! Runs core ops on candle: a function is planned once and run many times.
