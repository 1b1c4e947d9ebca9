-- One name for what the user should be told, in the program and in the store.

ALTER TABLE tidings RENAME TO notices;
