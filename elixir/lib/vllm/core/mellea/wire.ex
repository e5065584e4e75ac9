defmodule Vllm.Core.Mellea.Wire do
  @moduledoc false
  # From the structs of Vllm.Mellea to the maps that the worker takes. What it does not know it leaves
  # as it is: the worker says what it wants there.

  alias Vllm.{Error, Ref, Tool}

  alias Vllm.Mellea.{
    ChatContext,
    Component,
    Instruction,
    Message,
    ModelOption,
    Requirement,
    SimpleContext
  }

  @doc "A component, a message, a text or a thunk."
  @spec span(term()) :: term()
  def span(%Message{} = message) do
    fields = %{"type" => "message", "role" => message.role, "content" => message.content}
    if message.images in [nil, []], do: fields, else: Map.put(fields, "images", message.images)
  end

  def span(%Instruction{} = instruction),
    do: instruction |> instruction() |> Map.put("type", "instruction")

  def span(%Component{} = component) do
    given(%{
      "type" => "component",
      "name" => component.name,
      "args" => part(component.args),
      "template" => component.template,
      "template_order" => component.template_order,
      "tools" => if(component.tools != [], do: tools(component.tools))
    })
  end

  def span(other), do: other

  @doc "The fields of an instruction."
  @spec instruction(Instruction.t()) :: map()
  def instruction(%Instruction{} = it) do
    given(%{
      "description" => it.description,
      "requirements" => requirements(it.requirements),
      "icl_examples" => it.icl_examples,
      "grounding_context" => part(it.grounding_context),
      "user_variables" => it.user_variables,
      "prefix" => it.prefix
    })
  end

  defp part(%Ref{} = ref), do: ref
  defp part(%_{} = struct), do: span(struct)
  defp part(%{} = map), do: Map.new(map, fn {name, value} -> {name, part(value)} end)
  defp part(list) when length(list) >= 0, do: Enum.map(list, &part/1)
  defp part(other), do: other

  @doc "A context."
  @spec context(term()) :: term()
  def context(%ChatContext{turns: turns, window_size: size}) when length(turns) >= 0,
    do: given(%{"type" => "chat", "turns" => Enum.map(turns, &span/1), "window_size" => size})

  def context(%SimpleContext{turns: turns}) when length(turns) >= 0,
    do: %{"type" => "simple", "turns" => Enum.map(turns, &span/1)}

  def context(other), do: other

  @doc "Requirements, each with a mark whether the worker is to ask for the verdict."
  @spec requirements(term()) :: term()
  def requirements(list) when length(list) >= 0, do: Enum.map(list, &requirement/1)
  def requirements(other), do: other

  defp requirement(%Requirement{} = it) do
    given(%{
      "description" => it.description,
      "check_only" => it.check_only,
      "asked" => it.validate != nil
    })
  end

  defp requirement(other), do: other

  @doc "Tools without their functions. A map from names to tools is accepted too."
  @spec tools(term()) :: term()
  def tools(tools) when is_map(tools) and not is_struct(tools),
    do: tools |> Map.values() |> tools()

  def tools(tools) when length(tools) >= 0, do: Enum.map(tools, &tool/1)
  def tools(other), do: other

  defp tool(%Tool{} = tool) do
    given(%{
      "name" => tool.name,
      "description" => tool.description,
      "parameters" => tool.parameters
    })
  end

  defp tool(other), do: other

  @doc "Options of the model; a keyword list or a map with atoms or strings as keys."
  @spec options(term()) :: {:ok, map()} | {:error, Error.t()}
  def options(nil), do: {:ok, %{}}

  def options(options) when (is_map(options) and not is_struct(options)) or is_list(options) do
    if named?(options), do: {:ok, ModelOption.to_wire(options)}, else: wrong_options()
  end

  def options(_other), do: wrong_options()

  defp named?(options) when is_map(options), do: Enum.all?(Map.keys(options), &name?/1)

  defp named?(options) do
    not List.improper?(options) and
      Enum.all?(options, &(match?({_, _}, &1) and name?(elem(&1, 0))))
  end

  defp name?(name), do: is_binary(name) or (is_atom(name) and name != nil)

  defp wrong_options do
    message = "model_options: wants a map or keyword list from names to values"
    {:error, Error.new(:invalid, message, details: %{"parameter" => "model_options"})}
  end

  @doc "A format: a JSON schema, or a module that exports `json_schema/0`."
  @spec format(term()) :: term()
  def format(module) when is_atom(module) and module not in [nil, true, false] do
    if Code.ensure_loaded?(module) and function_exported?(module, :json_schema, 0),
      do: module.json_schema(),
      else: module
  end

  def format(other), do: other

  defp given(fields), do: Map.reject(fields, fn {_name, value} -> value == nil end)
end
