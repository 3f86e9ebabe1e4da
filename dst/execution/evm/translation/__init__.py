"""How a block of opcodes is written as Python; what must hold is in `..translator`.

lines     the text that grows: lines, names of locals, preludes
values    names and numbers; stack, memory: the EVM's while they are that
segment   between two ways out: what is charged and checked in advance
block     opcode by opcode, from its beginning to where it leaves
"""
