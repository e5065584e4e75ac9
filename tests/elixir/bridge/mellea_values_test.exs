defmodule Vllm.Bridge.MelleaValuesTest do
  # What Mellea takes and what it refuses: JSON, arguments of tools, maps of options, images, contexts.
  use Vllm.MelleaCase

  alias Vllm.{Absurd, Mellea, Tool}
  alias Vllm.Core.Mellea.Settings
  alias Vllm.Mellea.Backends.LocalVLLMBackend

  alias Vllm.Mellea.{
    ChatContext,
    Instruction,
    Message,
    ModelOption,
    SimpleContext,
    TemplateFormatter,
    ToolCall
  }

  test "a text that is JSON is parsed", %{instance: instance} do
    on = [instance: instance]
    assert Mellea.parse_json(~s({"a": [1, "x"]}), on) == {:ok, %{"a" => [1, "x"]}}
    assert {:error, %Error{kind: :invalid} = error} = Mellea.parse_json(~s({"a": "cut), on)
    assert error.message =~ "max_new_tokens"
  end

  # Upstream: test_tool_validation_integration.py (U-163), whose cases are in
  # tests/python/unit/integrations/mellea/test_tools.py.
  test "the arguments of a call fit the tool's schema, or are refused", %{instance: instance} do
    tool = %Tool{
      name: "f",
      parameters: %{type: "object", properties: %{days: %{type: "integer"}}, required: ["days"]}
    }

    on = [instance: instance]
    validate = &ToolCall.validate_arguments(tool, &1, &2 ++ on)
    assert validate.(%{"days" => "3"}, []) == {:ok, %{"days" => 3}}
    assert validate.(%{"days" => "3"}, coerce_types: false) == {:ok, %{"days" => "3"}}
    assert validate.(%{"days" => "many"}, []) == {:ok, %{"days" => "many"}}
    assert {:error, %Error{kind: :invalid} = error} = validate.(%{"days" => "many"}, strict: true)
    assert error.message =~ "days: Input should be a valid integer"
  end

  test "the rules for options are Mellea's, whatever the map", %{instance: instance} do
    rule = fn method, arguments ->
      {:ok, made} =
        Vllm.Call.invoke_class("MelleaModelOption", method, 0, [instance, arguments, []])

      made
    end

    # Printed by a failure, and set by `mix test --seed`.
    for _ <- 1..200 do
      options = random_map()
      from_to = for {k, v} <- random_map(), is_binary(v), into: %{}, do: {k, v}

      assert {options, from_to, ModelOption.replace_keys(options, from_to)} ==
               {options, from_to, rule.("replace_keys", options: options, from_to: from_to)}

      assert ModelOption.remove_special_keys(options) ==
               rule.("remove_special_keys", options: options)

      over = Enum.random([nil, random_map()])

      assert {options, over, ModelOption.merge(options, over)} ==
               {options, over, rule.("merge", options: options, overwrite: over)}
    end
  end

  @keys ~w(a b c @@@a@@@ @@@b@@@ temperature extra_body)
  @bodies [%{}, %{"x" => 1}, %{"chat_template_kwargs" => %{"a" => 1}}] ++
            [%{"chat_template_kwargs" => %{"b" => 2}}, %{"chat_template_kwargs" => 5}] ++
            [%{"chat_template_kwargs" => nil, "x" => 2}]

  defp random_map do
    for key <- Enum.take_random(@keys, :rand.uniform(7)),
        into: %{},
        do: {key, Enum.random([nil, 1, false, 0.5, "" | @keys] ++ @bodies)}
  end

  test "a model that takes text only refuses images, wherever they are", context do
    message = %Message{content: "x", images: ["content of a file"]}
    session = session(context.backend)
    shown = [images: [%{path: "a.png"}]]

    for call <- [
          fn ->
            LocalVLLMBackend.generate_from_context(context.backend, message, %ChatContext{})
          end,
          fn -> LocalVLLMBackend.render_prompt(context.backend, message, %ChatContext{}) end,
          fn -> LocalVLLMBackend.generate_from_raw(context.backend, [message]) end,
          fn -> Mellea.chat(session, message) end,
          fn -> Mellea.chat(session, "x", shown) end,
          fn -> Mellea.instruct(session, "x", shown) end,
          fn -> Mellea.instruct(session, %Instruction{description: "x", images: ["y"]}) end
        ] do
      assert {:error, %Error{kind: :invalid, message: message}} = call.()
      assert message =~ "images"
    end

    assert Vllm.Test.requests(context.engine) == []
  end

  test "no value of an option ends the engine or the worker", context do
    # One whose context does not grow.
    session = session(context.backend, context: %SimpleContext{})
    backend = context.backend
    chat = %ChatContext{}

    calls = %{
      instruct: &Mellea.instruct(session, "x", &1),
      chat: &Mellea.chat(session, "x", &1),
      validate: &Mellea.validate(session, ["x"], &1),
      session: &Mellea.start_session(backend, &1),
      backend: &LocalVLLMBackend.new("x", [{:engine, context.engine} | &1]),
      formatter: &TemplateFormatter.new("x", [{:instance, context.instance} | &1]),
      generation: &LocalVLLMBackend.generate_from_context(backend, "x", chat, &1),
      raw: &LocalVLLMBackend.generate_from_raw(backend, ["x"], chat, &1)
    }

    # An option that several functions have is the same row of `Settings`.
    options =
      for {kind, call} <- calls,
          [_, key] <- Regex.scan(~r/^  \* `:(\w+)`/m, Settings.docs(kind)),
          key not in ["instance", "engine"],
          do: {kind, key, call}

    for {kind, key, call} <- Enum.uniq_by(options, &elem(&1, 1)), value <- Absurd.values() do
      result = call.([{String.to_existing_atom(key), value}])

      assert match?({:ok, _}, result) or match?({:error, %Error{}}, result),
             "#{kind} #{key}: #{inspect(value, limit: 5)} gave #{inspect(result, limit: 5)}"
    end

    for option <- ~w(system_prompt stream stream_timeout thinking max_new_tokens temperature)a,
        value <- Absurd.values() do
      result =
        LocalVLLMBackend.generate_from_context(backend, "x", chat,
          model_options: %{option => value}
        )

      assert match?({:ok, _}, result) or match?({:error, %Error{}}, result)
    end

    assert {:ok, nil} = Mellea.reset(session)
    assert {:ok, nil} = AsyncLLM.check_health(context.engine)
  end

  test "another context is refused in Mellea's words", context do
    for odd <- [%{}, nil, "x", []] do
      assert {:error, %Error{kind: :invalid, message: message}} =
               LocalVLLMBackend.generate_from_context(context.backend, "x", odd)

      assert message =~ "Does not yet support non-chat contexts."
    end
  end
end
