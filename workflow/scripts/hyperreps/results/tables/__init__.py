"""Tables: from numbers to cells, and beside each class the words of its page."""
