//! Reaching a cluster the way kubectl does.
