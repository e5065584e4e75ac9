defmodule Vllm.Core.Mellea.Wire do
  @moduledoc false
  # From the structs of Vllm.Mellea to the maps that the worker takes. What it does not know it leaves
  # as it is: the worker says what it wants there.

  alias Vllm.{Bytes, CompletionOutput, Error, Ref, RequestOutput, Tensor, Tool}

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
    with_images(
      %{"type" => "message", "role" => message.role, "content" => message.content},
      message.images
    )
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
    |> with_images(it.images)
  end

  defp with_images(fields, images) when images in [nil, []], do: fields
  defp with_images(fields, images), do: Map.put(fields, "images", images(images))

  defp images(images) when length(images) >= 0, do: Enum.map(images, &image/1)
  defp images(other), do: other

  # A binary is a URL, or the content of a file, whatever that looks like.
  @schemes ["data:", "file:", "http://", "https://"]

  defp image(text) when is_binary(text),
    do: if(String.starts_with?(text, @schemes), do: text, else: %{"data" => %Bytes{data: text}})

  defp image(%Bytes{} = bytes), do: %{"data" => bytes}
  defp image(%Tensor{} = tensor), do: %{"tensor" => tensor}
  defp image(%_{} = other), do: other
  defp image(%{} = map), do: Map.new(map, &field/1)

  defp image([{_, _} | _] = fields),
    do: if(Keyword.keyword?(fields), do: image(Map.new(fields)), else: fields)

  defp image(other), do: other

  defp field({key, data}) when key in [:data, "data"] and is_binary(data),
    do: {"data", %Bytes{data: data}}

  defp field(field), do: field

  defp part(%Ref{} = ref), do: ref
  defp part(%_{} = struct), do: span(struct)
  defp part(%{} = map), do: Map.new(map, fn {name, value} -> {name, part(value)} end)
  defp part(list) when length(list) >= 0, do: Enum.map(list, &part/1)
  defp part(other), do: other

  @doc "An output of an engine, with what a thunk takes of it."
  @spec output(term()) :: term()
  def output(%RequestOutput{} = output) do
    completions = if is_list(output.outputs), do: output.outputs, else: []
    ids = output.prompt_token_ids

    given(%{
      "outputs" => for(%CompletionOutput{} = it <- completions, do: completion(it)),
      "prompt_token_ids" => if(is_list(ids), do: ids)
    })
  end

  def output(other), do: other

  defp completion(completion) do
    given(%{
      "index" => completion.index,
      "text" => completion.text,
      "token_ids" => completion.token_ids,
      "finish_reason" => completion.finish_reason
    })
  end

  @doc "A conversation: messages as maps, or a text."
  @spec conversation(term()) :: term()
  def conversation(messages) when length(messages) >= 0 do
    Enum.map(messages, fn
      %Message{role: role, content: content} -> %{"role" => role, "content" => content}
      other -> other
    end)
  end

  def conversation(other), do: other

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

  @doc "A tool without its function."
  @spec tool(term()) :: term()
  def tool(%Tool{} = tool) do
    given(%{
      "name" => tool.name,
      "description" => tool.description,
      "parameters" => tool.parameters
    })
  end

  def tool(other), do: other

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
