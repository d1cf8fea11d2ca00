"""Whether imagined frames obey actions, and how long they are like those that came."""
