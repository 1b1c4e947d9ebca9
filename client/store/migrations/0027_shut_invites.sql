-- Who was taken out of a group does not come back by a link or an invitation from before that.
ALTER TABLE group_invite_uses ADD COLUMN shut INTEGER NOT NULL DEFAULT 0;

-- Of an account that asks to be let in while its leave is still to be committed. 1: let in as soon as it is; 0: waits for a yes.
ALTER TABLE group_waiting ADD COLUMN comes_back INTEGER NOT NULL DEFAULT 0;
