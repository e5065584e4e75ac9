"""Arguments are checked here before an engine sees them.

vLLM checks few types in its front end. An argument of a wrong type travels on to EngineCore and
ends the thread that decodes it there. From then on every call of every client hangs, while
``check_health`` still succeeds. So each argument is checked against the annotation of its
parameter. One that does not fit raises ``InvalidArgument``, whose message names the parameter, what
it wants and what it got.

The modules, in reading order:

======================  ===========================================================================
``signatures``          the arguments of a call against the parameters of a method
``annotations``         from an annotation to a check: unions and containers
``scalars``             checks of plain values: ``bool``, ``int``, ``float``, ``str``, ``bytes``
``classes``             checks of enums, and of classes and typed dicts by their fields
``streams``             checks of arguments that are streams of elements
``constraints``         what the annotation of a parameter does not say: ranges, keys, contents
``type_hints``          annotations as objects, though vLLM keeps them as text
``messages``            the text of an error
``renamed_parameters``  names that earlier vLLM versions had, translated before the check
======================  ===========================================================================
"""
