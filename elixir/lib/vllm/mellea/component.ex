defmodule Vllm.Mellea.Component do
  @moduledoc """
  A component of your own: arguments for a Jinja template.

  `template` is the template itself: a program, which runs in a sandbox. Without it a file is looked
  for, by the names of `template_order`; `"*"`, the default, is the component's own name. See
  `Vllm.Mellea.TemplateFormatter`. An argument may be a text, a component, a thunk, or a list or map of
  them. `tools` are offered to the model with it.
  """

  @enforce_keys [:name]
  defstruct [:name, :template, :template_order, args: %{}, tools: []]

  @type t :: %__MODULE__{
          name: String.t(),
          args: %{optional(atom() | String.t()) => term()},
          template: String.t() | nil,
          template_order: [String.t()] | nil,
          tools: [Vllm.Tool.t()]
        }
end
