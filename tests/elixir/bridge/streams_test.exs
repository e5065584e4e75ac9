defmodule Vllm.Bridge.StreamsTest do
  @moduledoc false
  # The same tests over both transports.
  for {transport, options} <- [Unix: [], Tcp: [listen: {:tcp, 0}]] do
    defmodule Module.concat(__MODULE__, transport) do
      use Vllm.BridgeCase, async: true, instance: options

      describe "generate" do
        test "gives items in order, once, the last one finished", %{engine: engine} do
          outputs = engine |> generate(max_tokens: 8, output_kind: :DELTA) |> Enum.to_list()
          assert Enum.flat_map(outputs, &ids/1) == Enum.to_list(256..263)
          assert Enum.map(outputs, & &1.finished) |> Enum.reverse() |> hd()
          assert Enum.count(outputs, & &1.finished) == 1
        end

        test "returns before the first token", %{engine: engine} do
          stream = generate(engine, max_tokens: 1, extra_args: fake(hang: true))
          assert %Stream{} = stream
          Stream.cancel(stream)
        end

        test "gives the first item before the last is made", %{engine: engine} do
          stream = generate(engine, endless())
          assert [%RequestOutput{finished: false}] = Enum.take(stream, 1)
        end

        test "gives the same text in every output kind", %{engine: engine} do
          params = [max_tokens: 16, n: 2]
          deltas = engine |> generate(params ++ [output_kind: :DELTA]) |> Enum.to_list()
          {:ok, whole} = engine |> generate(params) |> Stream.collect()
          {:ok, final} = engine |> generate(params ++ [output_kind: :FINAL_ONLY]) |> only()

          for index <- [0, 1] do
            of_index = fn output -> Enum.filter(output.outputs, &(&1.index == index)) end
            parts = Enum.flat_map(deltas, of_index)
            [complete] = of_index.(whole)
            assert Enum.map_join(parts, & &1.text) == complete.text
            assert Enum.flat_map(parts, & &1.token_ids) == complete.token_ids
            assert [^complete] = of_index.(final)
          end
        end

        test "gives texts or token ids alone, in every output kind", %{engine: engine} do
          {:ok, whole} = engine |> generate(max_tokens: 20) |> Stream.collect()
          [%{text: text, token_ids: ids}] = whole.outputs

          for kind <- [:CUMULATIVE, :DELTA, :FINAL_ONLY],
              {items, all} <- [text: text, token_ids: ids] do
            params = [max_tokens: 20, output_kind: kind]

            start = fn ->
              AsyncLLM.generate(engine, "x", params, request_id(), rpc: [items: items])
            end

            {:ok, stream} = start.()
            parts = Enum.to_list(stream)
            assert if(items == :text, do: Enum.join(parts), else: Enum.concat(parts)) == all
            {:ok, stream} = start.()
            assert Stream.collect(stream) == {:ok, all}

            opts = [rpc: [items: items]]

            assert AsyncLLM.generate_collect(engine, "x", params, request_id(), opts) ==
                     {:ok, all}
          end
        end

        test "refuses texts alone where more would be missed", %{engine: engine} do
          for params <- [[n: 2], [logprobs: 1], [detokenize: false]] do
            assert {:error, %Error{kind: :invalid, details: %{"parameter" => "items"}}} =
                     AsyncLLM.generate(engine, "x", params, request_id(), rpc: [items: :text])
          end

          assert {:error, %Error{kind: :invalid, details: %{"parameter" => "items"}}} =
                   AsyncLLM.encode(engine, "x", %{task: "embed"}, request_id(),
                     rpc: [items: :text]
                   )
        end

        test "takes parameters as a struct, a keyword list or a map", %{engine: engine} do
          for params <- [
                %Vllm.SamplingParams{max_tokens: 3},
                [max_tokens: 3],
                %{max_tokens: 3},
                %{"max_tokens" => 3}
              ] do
            assert {:ok, output} = engine |> generate(params) |> Stream.collect()
            assert length(ids(output)) == 3
          end
        end

        test "runs 100 streams at the same time", %{engine: engine} do
          # None ends before it is released, and that is when all of them have begun.
          params = [max_tokens: 20, output_kind: :DELTA, extra_args: fake(hold: true, after: 10)]
          all = for _ <- 1..100, do: Task.async(fn -> Enum.to_list(generate(engine, params)) end)
          control(engine, "wait_requests", [100])
          release(engine, 100)

          for outputs <- Task.await_many(all, :infinity),
              do: assert(Enum.flat_map(outputs, &ids/1) == Enum.to_list(256..275))
        end

        test "refuses wrong arguments in the call, not in the stream", %{engine: engine} do
          assert {:error, %Error{kind: :invalid} = error} =
                   AsyncLLM.generate(engine, "x", [max_tokens: "many"], request_id())

          assert error.message =~ "max_tokens"

          assert {:error, %Error{kind: :invalid} = error} =
                   AsyncLLM.generate(engine, "x", [max_tokesn: 1], request_id())

          assert error.message =~ "max_tokesn"
        end

        test "fails after k items: k items, then one error", %{engine: engine} do
          stream = control(engine, "raise_while_streaming", [3, "ValueError", "enough"])
          test = self()

          error =
            assert_raise Error, ~r/enough/, fn -> Enum.each(stream, &send(test, {:got, &1})) end

          assert error.type =~ "ValueError"
          for n <- 0..2, do: assert_received({:got, ^n})
          refute_received {:got, _}
          assert {:error, %Error{kind: :conflict}} = Stream.collect(stream)
        end

        test "with an id that is in use affects no other stream", %{engine: engine} do
          id = request_id()
          {:ok, first} = AsyncLLM.generate(engine, "x", [max_tokens: 500], id)
          second = AsyncLLM.generate(engine, "x", [max_tokens: 5], id)
          assert {:ok, %{finished: true} = output} = Stream.collect(first)
          assert length(ids(output)) == 500

          case second do
            {:ok, stream} -> assert {:ok, %{finished: true}} = Stream.collect(stream)
            {:error, error} -> assert error.message =~ id
          end
        end
      end

      describe "a request is aborted in the engine" do
        test "when the enumeration halts, 200 times", %{engine: engine} do
          for _ <- 1..200 do
            assert [_, _, _, _, _] = engine |> generate(endless(0)) |> Enum.take(5)
          end

          control(engine, "wait_requests", [0])
          assert engine |> control("aborted") |> length() == 200
        end

        test "when its consumer is killed", %{engine: engine} do
          id = request_id()
          test = self()

          consumer =
            spawn(fn ->
              {:ok, stream} = AsyncLLM.generate(engine, "x", endless(), id)
              Enum.each(stream, fn _ -> send(test, :item) end)
            end)

          assert_receive :item
          Process.exit(consumer, :kill)
          assert control(engine, "wait_aborted", [id]) == nil
        end

        test "when its owner ends without enumerating", %{engine: engine} do
          id = request_id()

          {:ok, _} =
            Task.async(fn -> AsyncLLM.generate(engine, "x", endless(), id) end)
            |> Task.await(:infinity)

          assert control(engine, "wait_aborted", [id]) == nil
        end

        test "when its stream is cancelled, early, late and twice", %{engine: engine} do
          stream = generate(engine, endless())
          Stream.cancel(stream)
          Stream.cancel(stream)
          control(engine, "wait_requests", [0])

          stream = generate(engine, max_tokens: 2)
          assert {:ok, %{finished: true}} = Stream.collect(stream)
          Stream.cancel(stream)
          assert control(engine, "echo", [1]) == 1
        end

        test "while it waits for admission", %{engine: engine} do
          params = [max_tokens: 5, extra_args: fake(hang_in: "admission")]
          caller = spawn(fn -> AsyncLLM.generate(engine, "x", params, request_id()) end)
          control(engine, "wait_called", ["generate"])
          Process.exit(caller, :kill)
          control(engine, "wait_requests", [0])
          assert control(engine, "echo", [1]) == 1
        end

        test "when its deadline passes", %{engine: engine} do
          id = request_id()
          assert {:error, %Error{kind: :timeout}} = overdue(engine, id)
          assert control(engine, "wait_aborted", [id]) == nil
        end
      end

      test "abort from another process ends a stream with its reason", %{engine: engine} do
        id = request_id()
        test = self()

        task =
          Task.async(fn ->
            {:ok, stream} = AsyncLLM.generate(engine, "x", endless(), id)

            Enum.reduce(stream, nil, fn output, _ ->
              send(test, :item)
              output
            end)
          end)

        assert_receive :item
        assert AsyncLLM.abort(engine, id) == {:ok, nil}
        assert %RequestOutput{finished: true, outputs: [output]} = Task.await(task, :infinity)
        assert output.finish_reason == "abort"
      end

      test "stream_to: sends every item and then :done", %{engine: engine} do
        params = [max_tokens: 4, output_kind: :DELTA]

        {:ok, stream} =
          AsyncLLM.generate(engine, "x", params, request_id(), rpc: [stream_to: self()])

        assert collect_messages(stream, []) == [256, 257, 258, 259]
      end

      test "a slow consumer limits how far the worker runs ahead", %{engine: engine} do
        stream = control(engine, "count", [100_000])
        # The worker may be ahead by the window, and by what it has in its hands.
        assert [0, 1, 2] = Enum.take(stream, 3)
        control(engine, "wait_streams", [0])
      end

      test "encode gives one output", %{engine: engine} do
        {:ok, stream} = AsyncLLM.encode(engine, "x", %Vllm.PoolingParams{}, request_id())
        assert [%Vllm.PoolingRequestOutput{finished: true}] = Enum.to_list(stream)
      end

      defp generate(engine, params) do
        {:ok, stream} = AsyncLLM.generate(engine, "Hello", params, request_id())
        stream
      end

      # Those that have not come to where they are held will be released later.
      defp release(_engine, 0), do: :ok
      defp release(engine, left), do: release(engine, left - control(engine, "release"))

      defp only(stream) do
        [output] = Enum.to_list(stream)
        {:ok, output}
      end

      defp ids(output), do: hd(output.outputs).token_ids

      defp fake(behaviour),
        do: %{"fake" => Map.new(behaviour, fn {k, v} -> {to_string(k), v} end)}

      defp collect_messages(stream, ids) do
        receive do
          {:vllm, ^stream, {:item, output}} -> collect_messages(stream, ids ++ ids(output))
          {:vllm, ^stream, :done} -> ids
        end
      end
    end
  end
end
