//! What an id, a result type or a reason code means, who is at fault, how to mend it.
